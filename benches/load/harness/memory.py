"""What the server keeps in memory: idle, and for each warm entry."""

from measure import Parties, Traffic, one_load, prove, pss, settle
from plan import HASHED
from seed import NUMBERED_SECRET

BEFORE = 1_000  # entries that are there, and buffers grown, before entries are counted
CONNECTIONS = 16


def run(server, entries=HASHED):
    """Bytes a warm entry: bcrypt credentials are proved, and the growth is divided by their number. The row cache, which
    would grow too, is off."""
    url = server.urls[0]
    traffic = lambda count: Traffic("numbered", first=1, count=count, secret=NUMBERED_SECRET)
    prove(url, traffic(BEFORE), CONNECTIONS)
    one_load([url], traffic(BEFORE), CONNECTIONS, 2, Parties(server.pids))
    settle(server.pids)
    before = pss(*server.pids)
    prove(url, traffic(entries), CONNECTIONS)
    settle(server.pids)
    after = pss(*server.pids)
    return {"before_mib": before, "after_mib": after, "entries": entries - BEFORE,
            "bytes": (after - before) * 2**20 / (entries - BEFORE)}

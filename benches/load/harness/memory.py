"""What the server keeps in memory for each warm entry, and for each row."""

from measure import Parties, Traffic, one_load, prove, pss, settle
from plan import HASHED
from seed import NUMBERED_SECRET

BEFORE = 1_000  # entries that are there, and buffers grown, before entries are counted
CONNECTIONS = 16


def run(server, first, entries=HASHED):
    """Bytes an entry: numbered agents from `first` on ask for a token, and the growth is divided by their number."""
    url = server.urls[0]
    traffic = lambda count: Traffic("numbered", first=first, count=count, secret=NUMBERED_SECRET)
    prove(url, traffic(BEFORE), CONNECTIONS)
    one_load([url], traffic(BEFORE), CONNECTIONS, 2, Parties(server.pids))
    settle(server.pids)
    before = pss(*server.pids)
    prove(url, traffic(entries), CONNECTIONS)
    settle(server.pids)
    after = pss(*server.pids)
    return {"before_mib": before, "after_mib": after, "entries": entries - BEFORE,
            "bytes": (after - before) * 2**20 / (entries - BEFORE)}

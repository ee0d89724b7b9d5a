"""What the server keeps in memory for each warm entry, and for each row."""

import time

from measure import Parties, Traffic, one_load, prove, pss, settle
from plan import HASHED
from seed import NUMBERED_SECRET

# Entries that are there before more are counted. By then as many uses have been noted as a server ever holds, and buffers have grown.
BEFORE = 50_000
AT_WORK = 1_000
CONNECTIONS = 16
SECONDS = 5
WRITTEN = 62  # seconds until the uses of secrets are in the database: they are noted in memory for a minute


def run(server, first, entries=HASHED):
    """Bytes an entry: numbered agents from `first` on ask for a token, and the growth is divided by their number."""
    url = server.urls[0]
    traffic = lambda count: Traffic("numbered", first=first, count=count, secret=NUMBERED_SECRET)

    def with_entries(count):
        prove(url, traffic(count), CONNECTIONS)
        time.sleep(WRITTEN)
        # An allocator gives back what proving left behind only while it works.
        one_load([url], traffic(AT_WORK), CONNECTIONS, SECONDS, Parties(server.pids))
        settle(server.pids)
        return pss(*server.pids)

    before, after = with_entries(BEFORE), with_entries(entries)
    return {"before_mib": before, "after_mib": after, "entries": entries - BEFORE,
            "bytes": (after - before) * 2**20 / (entries - BEFORE)}

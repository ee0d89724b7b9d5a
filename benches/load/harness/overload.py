"""Ten times more cold wrong secrets than can be hashed, beside warm clients."""

import json
import statistics
import subprocess
import sys
import threading
import time

from measure import Parties, Traffic, one_load, prove, pss, quiet, settle, thread_cpu
from plan import AT
from seed import clients_file
from world import LOAD, bare_environment, call

TIMES = 10  # more than can be hashed
CREDENTIALS = 20  # of each client in the flood: so many digests a wrong secret
LEAVE_MS = 20
HASHERS = "bcrypt-digest"  # the threads that digests are computed on
LEAD = 2.0  # seconds for the queue to fill


class Health(threading.Thread):
    """Asks /health over and over; keeps the times."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.url, self.ms, self.stopped = f"{server.origin}/health", [], threading.Event()

    def run(self):
        while not self.stopped.wait(0.05):
            begin = time.monotonic()
            status = call("GET", self.url)[0]
            self.ms.append((time.monotonic() - begin) * 1e3 if status == 200 else float("inf"))

    def worst(self):
        self.stopped.set()
        self.join()
        return max(self.ms, default=float("inf"))


def flood(server, file, rate, seconds, leave_ms=0):
    return subprocess.Popen(
        [sys.executable, LOAD / "harness/flood.py", server.urls[0], file, str(rate), str(seconds), str(leave_ms)],
        env=bare_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)


def watched(server, traffic, seconds):
    """The warm clients' load, with what digests took of the processors and the slowest answer of /health."""
    health = Health(server)
    health.start()
    hashing = thread_cpu(server.pids[0], HASHERS)
    found = one_load(server.urls, traffic, AT, seconds, Parties(server.pids, server.others))
    hashing = thread_cpu(server.pids[0], HASHERS) - hashing
    found["hashing_s"] = hashing
    found["own_cpu_ms"] = found["cpu_ms"]["server"] - hashing / max(found["requests"], 1) * 1e3
    found["health_ms"] = health.worst()
    return found


def run(server, folder, hashed_a_second, rounds, seconds, guesses="wrong-flood20"):
    """`hashed_a_second` is what the cold server reached, in digests; `guesses` are the flood's clients and secrets."""
    warm = Traffic(clients=clients_file(folder, "bcrypt1"))
    cold = clients_file(folder, guesses)
    prove(server.urls[0], warm)
    rate = TIMES * hashed_a_second / CREDENTIALS
    alone, beside, fate = [], [], []
    for _ in range(rounds):
        settle(server.pids)
        quiet()
        alone.append(watched(server, warm, seconds))
        client = flood(server, cold, rate, seconds + LEAD + 1)
        time.sleep(LEAD)
        beside.append(watched(server, warm, seconds))
        fate.append(json.loads(client.communicate()[0]))
    return {"rate": rate, "alone": alone, "beside": beside, "fate": fate, "leaving": leaving(server, cold, rate, seconds)}


def leaving(server, cold, rate, seconds):
    """Memory while clients hang up in the middle of a digest."""
    settle(server.pids)
    samples = [pss(*server.pids)]
    client = flood(server, cold, rate, seconds, LEAVE_MS)
    while client.poll() is None:
        time.sleep(0.5)
        samples.append(pss(*server.pids))
    settle(server.pids)
    samples.append(pss(*server.pids))
    third = max(1, len(samples) // 3)
    return {
        "fate": json.loads(client.communicate()[0]), "before": samples[0], "most": max(samples), "after": samples[-1],
        # After the first requests have made their buffers: what matters is whether it goes on.
        "first_third": statistics.median(samples[1:third + 1]), "last_third": statistics.median(samples[-third - 1:-1]),
    }

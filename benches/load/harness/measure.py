"""One measured load: wrk against one server, with the processor time and memory of everything that took part."""

import math
import os
import re
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from world import LOAD, Failed, bare_environment

TICK = os.sysconf("SC_CLK_TCK")
CORES = os.cpu_count()

# A measurement beside which others used more of the machine than this is made again.
FOREIGN_LIMIT = 12.0
# How long a measurement waits for others to leave the machine alone.
QUIET_WAIT = 4.0


class Patience:
    """What a whole run may spend on waiting for others and on measuring again, in seconds: it has to end some time."""

    left = 180.0

    @classmethod
    def spend(cls, seconds):
        cls.left -= seconds


@dataclass
class Traffic:
    """What the client sends, and what it expects."""

    kind: str = "token"
    clients: Path = None
    first: int = 1
    count: int = 0
    secret: str = ""
    expect: int = None

    def environment(self, once=False):
        return {
            "KIND": self.kind, "CLIENTS": str(self.clients), "FIRST": str(self.first), "COUNT": str(self.count),
            "SECRET": self.secret, "EXPECT": str(self.expect or ""), "ONCE": "1" if once else "",
        }


@dataclass
class Parties:
    """Whose processor time is counted: each name with the roots of its process trees."""

    server: list
    others: dict = field(default_factory=dict)  # name -> root pid


def stat(path):
    """The fields of a `stat` file after the command, or None when the process has gone."""
    try:
        return Path(path).read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None


def tree(roots):
    children = {}
    for entry in os.listdir("/proc"):
        fields = stat(f"/proc/{entry}/stat") if entry.isdigit() else None
        if fields:
            children.setdefault(int(fields[1]), []).append(int(entry))
    found, todo = [], list(roots)
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += children.get(pid, [])
    return found


def cpu(*roots):
    """Processor seconds of process trees, with children that have ended."""
    ticks = 0
    for pid in tree(roots):
        fields = stat(f"/proc/{pid}/stat")
        if fields:
            ticks += sum(int(value) for value in fields[11:15])
    return ticks / TICK


def thread_cpu(pid, name):
    """Processor seconds of those threads of one process whose name begins with `name`."""
    ticks = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            text = Path(f"/proc/{pid}/task/{task}/stat").read_text()
        except OSError:
            continue
        if text.split("(", 1)[1].startswith(name):
            fields = text.rsplit(")", 1)[1].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / TICK


def pss(*roots):
    """Memory in MiB: proportional set size, so that what processes share counts once."""
    total = 0
    for pid in tree(roots):
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        total += int(re.search(r"^Pss:\s+(\d+)", text, re.M).group(1))
    return total / 1024


def machine_cpu():
    """Processor seconds that the whole machine spent, and those that its host took away."""
    fields = [int(value) for value in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    user, nice, system, _idle, _wait, irq, softirq, steal = fields[:8]
    return (user + nice + system + irq + softirq) / TICK, steal / TICK


def quiet():
    """Waits a little for a machine that is at least 90 % idle."""
    start = time.monotonic()
    while time.monotonic() - start < min(QUIET_WAIT, Patience.left):
        before, begin = machine_cpu()[0], time.monotonic()
        time.sleep(0.2)
        if (machine_cpu()[0] - before) / ((time.monotonic() - begin) * CORES) < 0.10:
            return
    Patience.spend(time.monotonic() - start)


def settle(roots, limit=15.0):
    """Waits until a server has worked off what the last load left behind."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        before = cpu(*roots)
        time.sleep(0.15)
        if cpu(*roots) - before <= 1 / TICK:
            return


def wrk(url, traffic, connections, seconds, once=False):
    """Starts a client; `result` reads what it found."""
    return subprocess.Popen(
        ["wrk", "-t1", f"-c{connections}", f"-d{math.ceil(seconds)}s", "--timeout", "60s", "-s", str(LOAD / "load.lua"), url],
        env={**bare_environment(), **traffic.environment(once)}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True)


def result(client):
    text, _ = client.communicate()
    return told(text)


def told(text):
    found = re.search(r"^RESULT (.*)$", text, re.M)
    if not found:
        raise Failed(f"wrk gave no result:\n{text}")
    return {name: int(value) for name, value in (part.split("=") for part in found.group(1).split())}


def every_once(url, traffic, connections, seconds):
    """Sends every client's secret once; answers what became of them, and whether there was time for all."""
    client = wrk(url, traffic, connections, seconds, once=True)
    lines = []
    for line in client.stdout:
        lines.append(line)
        if line == "ALL\n":
            client.send_signal(signal.SIGINT)  # wrk sleeps for the whole time otherwise
    client.wait()
    return told("".join(lines)), "ALL\n" in lines


def prove(url, traffic, connections=16, seconds=120):
    """Sends every client's secret once. All have to be accepted: afterwards a warm server knows each."""
    found, all_were = every_once(url, traffic, connections, seconds)
    if found["failed"]:
        raise Failed(f"{url} refused {found['failed']} of {found['requests']} clients in the warm-up")
    if not all_were:
        raise Failed(f"{url} answered only {found['requests']} clients of the warm-up in {seconds} s")


def one_load(urls, traffic, connections, seconds, parties):
    """One load over one or several replicas, the connections spread over them."""
    roots = {"server": parties.server, **{name: [pid] for name, pid in parties.others.items()}}
    before = {name: cpu(*pids) for name, pids in roots.items()}
    machine, steal = machine_cpu()
    client_before, start = os.times(), time.monotonic()
    share = [connections // len(urls) + (1 if i < connections % len(urls) else 0) for i in range(len(urls))]
    clients = [wrk(url, traffic, count, seconds) for url, count in zip(urls, share)]
    found = [result(client) for client in clients]
    wall, client_after = time.monotonic() - start, os.times()
    used = {name: cpu(*pids) - before[name] for name, pids in roots.items()}
    machine_after, steal_after = machine_cpu()
    used["client"] = (client_after.children_user - client_before.children_user
                      + client_after.children_system - client_before.children_system)
    requests = sum(each["requests"] for each in found)
    foreign = max(0.0, machine_after - machine - sum(used.values()))
    weigh = lambda name: sum(each[name] * each["requests"] for each in found) / max(requests, 1) / 1e3
    return {
        "rps": sum(each["requests"] / (each["us"] / 1e6) for each in found), "requests": requests,
        "p50_ms": weigh("p50"), "p99_ms": max(each["p99"] for each in found) / 1e3,
        "max_ms": max(each["max"] for each in found) / 1e3,
        "cpu_ms": {name: seconds / max(requests, 1) * 1e3 for name, seconds in used.items()},
        "pss_mib": pss(*parties.server), "errors": sum(each["failed"] + each["socket"] for each in found),
        "foreign": 100 * foreign / (wall * CORES), "steal": 100 * (steal_after - steal) / (wall * CORES),
    }


def measure(urls, traffic, connections, seconds, parties, tries=2):
    """The load that others disturbed least, of at most `tries`."""
    best = None
    for _ in range(tries):
        settle(parties.server)
        quiet()
        found = one_load(urls, traffic, connections, seconds, parties)
        if best is None or found["foreign"] < best["foreign"]:
            best = found
        if best["foreign"] <= FOREIGN_LIMIT or Patience.left <= 0:
            break
        Patience.spend(seconds)
    return best

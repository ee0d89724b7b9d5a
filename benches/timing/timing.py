"""Whether the time of a refusal tells which refusal it was; `benches/timing/run` prepares and starts it.

Four kinds of refused token requests go to one server over one connection, in random order, thousands of each. Welch's t of each
pair says whether their times differ: beyond 4.5 they do, whatever the size.
"""

import argparse
import math
import os
import random
import re
import socket
import statistics
import subprocess
import sys
import time
from itertools import combinations
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "load/harness"))

from seed import AGENT, MAC_KEY, MAC_KEY_ID, operator_token
from world import Bao, Failed, Postgres, World, call, free_port

SERVER = Path(os.environ["SERVER"])
KINDS = ("unknown", "wrong", "revoked", "suspended")
BOUND = 4.5
AGENTS = 20  # of each kind
# Failures of unknown clients from one address that are in the audit trail before the others are sampled.
SAMPLED = 200

KEYED, COLD = {"SECRET_BACKEND": "keyed-digest"}, {"WARM_CAPACITY": "0"}
# Name: where rows are, whether secrets are in Vault, whether there are MAC keys, whether clients are cold, and further settings.
CASES = {
    "bcrypt, warm": ("postgres", False, False, False, {}),
    "bcrypt, cold": ("postgres", False, False, True, COLD),
    "bcrypt with selectors, cold": ("postgres", False, True, False, COLD),
    "keyed digest, warm": ("postgres", False, True, False, KEYED),
    "keyed digest, cold": ("postgres", False, True, False, {**KEYED, **COLD}),
    "vault, each time": ("postgres", True, False, False, {}),
    "vault, warm": ("postgres", True, False, False, {"WARM_VAULT_LIFETIME": "1h"}),
    "vault with selectors": ("postgres", True, True, False, {}),
    "bcrypt, warm, no rows in memory": ("postgres", False, False, False, {"ROW_CACHE_CAPACITY": "0"}),
    "bcrypt, warm, SQLite": ("sqlite", False, False, False, {}),
    "keyed digest, SQLite": ("sqlite", False, True, False, KEYED),
}


class Site:
    """A server with agents of each kind."""

    def __init__(self, world, name, settings):
        self.port = free_port()
        settings = {
            "PORT": str(self.port), "RATE_LIMIT_PER_MINUTE": "0", "LOG_LEVEL": "error", "RECONCILE_INTERVAL": "0s",
            "AGENTIDP_DATA_DIR": str(world.folder / name), **settings}
        self.api = f"http://127.0.0.1:{self.port}/api/v1"
        self.process = world.start(name, [SERVER], settings)
        world.wait(self.process, self.is_ready)
        self.bearer = {"Authorization": f"Bearer {operator_token(SERVER, settings, world.folder)}"}
        self.clients = {"unknown": [self.random_id() for _ in range(AGENTS)]}
        for kind in KINDS[1:]:
            self.clients[kind] = [self.agent(kind, number) for number in range(AGENTS)]

    @staticmethod
    def random_id():
        drawn = random.randbytes(16).hex()
        return f"{drawn[:8]}-{drawn[8:12]}-4{drawn[13:16]}-8{drawn[17:20]}-{drawn[20:]}"

    def is_ready(self):
        try:
            return call("GET", f"http://127.0.0.1:{self.port}/ready")[0] == 200
        except OSError:
            return False

    def must(self, method, path, body=None):
        status, answer = call(method, self.api + path, body, self.bearer)
        if status >= 300:
            raise Failed(f"the server refused {method} {path}: {status} {answer}")
        return answer

    def agent(self, kind, number):
        agent = self.must("POST", "/agents", {**AGENT, "email": f"{kind}-{number}@agents.example"})["agentId"]
        made = self.must("POST", f"/agents/{agent}/credentials")
        with Asker(self.port) as asker:
            if asker.ask(asker.request(agent, made["clientSecret"]))[1] != 200:
                raise Failed("the right secret was refused")
        if kind == "revoked":
            self.must("DELETE", f"/agents/{agent}/credentials/{made['credentialId']}")
        if kind == "suspended":
            self.must("PATCH", f"/agents/{agent}", {"status": "suspended"})
        return agent


class Asker:
    """One connection that is kept."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), 30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    @staticmethod
    def request(agent, secret):
        form = f"grant_type=client_credentials&client_id={agent}&client_secret={secret}"
        return (f"POST /api/v1/token HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n"
                f"Content-Length: {len(form)}\r\n\r\n{form}").encode()

    def ask(self, request):
        """Nanoseconds until the whole answer is there, and its status."""
        begin = time.perf_counter_ns()
        self.socket.sendall(request)
        answer = self.socket.recv(65536)
        elapsed = time.perf_counter_ns() - begin
        head, _, body = answer.partition(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        while len(body) < length:
            body += self.socket.recv(65536)
            elapsed = time.perf_counter_ns() - begin
        return elapsed, int(answer[9:12])


def measure(site, each):
    """Times of each kind, in microseconds. An answer beside which the machine was elsewhere for long is left out, of any kind."""
    times = {kind: [] for kind in KINDS}
    with Asker(site.port) as asker:
        for _ in range(SAMPLED):
            asker.ask(asker.request(site.random_id(), "sk_live_" + os.urandom(32).hex()))
        order = [kind for kind in KINDS for _ in range(each)]
        random.shuffle(order)
        for kind in order:
            request = asker.request(random.choice(site.clients[kind]), "sk_live_" + os.urandom(32).hex())
            elapsed, status = asker.ask(request)
            if status != 401:
                raise Failed(f"{kind}: answered {status}")
            times[kind].append(elapsed / 1e3)
    # The same bound for all: the slowest hundredth of all answers is the machine's.
    bound = sorted(one for all_of_it in times.values() for one in all_of_it)[int(each * len(KINDS) * 0.99)]
    return {kind: [one for one in all_of_it if one <= bound] for kind, all_of_it in times.items()}


def welch(one, other):
    spread = statistics.variance(one) / len(one) + statistics.variance(other) / len(other)
    return (statistics.fmean(one) - statistics.fmean(other)) / math.sqrt(spread)


def report(name, times):
    means = ", ".join(f"{kind} {statistics.fmean(all_of_it):.0f}" for kind, all_of_it in times.items())
    print(f"{name}: {len(times['wrong'])} each; mean us: {means}", flush=True)
    worst = 0.0
    for one, other in combinations(KINDS, 2):
        t, apart = welch(times[one], times[other]), statistics.fmean(times[one]) - statistics.fmean(times[other])
        median = statistics.median(times[one]) - statistics.median(times[other])
        mark = "  <-- tells" if abs(t) >= BOUND else ""
        print(f"  {one:>9} - {other:<9} {apart:+9.1f} us (median {median:+.1f})  t = {t:+7.1f}{mark}", flush=True)
        worst = max(worst, abs(t))
    return worst


def main():
    parser = argparse.ArgumentParser(prog="benches/timing/run", description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000, help="of each kind (10,000)")
    parser.add_argument("--cold", type=int, default=1_000, help="of each kind where each costs a digest (1,000)")
    parser.add_argument("--only", default="", help="cases whose name matches")
    options = parser.parse_args()
    worst = {}
    with World() as world:
        postgres, bao = Postgres(world), Bao(world, "openbao")
        key, keys, token = world.folder / "key.pem", world.folder / "mac-keys", bao.least_privilege_token()
        keys.write_text(f"{MAC_KEY_ID}:{MAC_KEY.hex()}\n")
        keys.chmod(0o600)
        subprocess.run(["openssl", "genpkey", "-quiet", "-algorithm", "ed25519", "-out", str(key)], check=True)
        key.chmod(0o600)
        for number, (name, (database, vault, macs, cold, more)) in enumerate(CASES.items()):
            if not re.search(options.only, name):
                continue
            settings = {"JWT_PRIVATE_KEY_FILE": str(key), "JWT_ISSUER": "http://localhost", **more}
            if database == "postgres":
                postgres.psql("postgres", f"create database timing{number} template template0")
                settings["DATABASE_URL"] = postgres.url(f"timing{number}")
            if vault:
                settings |= {"VAULT_ADDR": bao.address, "VAULT_TOKEN": token, "VAULT_PREFIX": f"agentidp/timing{number}"}
            if macs:
                settings["MAC_KEYS_FILE"] = str(keys)
            site = Site(world, f"server-{number}", settings)
            worst[name] = report(name, measure(site, options.cold if cold else options.requests))
            world.stop(site.process)
    telling = [name for name, t in worst.items() if t >= BOUND]
    print("t is below 4.5 for every pair" if not telling else f"told by time: {', '.join(telling)}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as error:
        sys.exit(f"benches/timing: {error}")

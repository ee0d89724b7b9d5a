"""Measures everything in interleaved rounds and writes docs/performance.md; `./benches/load/run` prepares and starts it."""

import argparse
import itertools
import json
import os
import re
import signal
import sys
import time
import traceback
import uuid
from pathlib import Path

import change
import coldstart
import figures
import machine
import memory
import overload
import plan
import report
import seed
from measure import FOREIGN_LIMIT, Parties, Traffic, every_once, measure, one_load, prove
from servers import Servers, approle
from world import Bao, Failed, Postgres, World

# Seconds of one measurement; those with bcrypt in each request answer tens of requests a second and need longer.
SECONDS, SLOW_SECONDS = 3, 6
QUICK_SECONDS, QUICK_SLOW_SECONDS = 2, 4
# node's compiler and Python's caches are warm after this long under load.
PEER_WARM_UP = 5
# A million rows take a while to be read at random.
ROWS_WARM_UP = 120
# What comes after the rows.
PARTS = ("overload", "coldstart", "change", "memory")
SIGNATURES = {"RS256": 4_000, "EdDSA": 40_000}


def arguments():
    parser = argparse.ArgumentParser(prog="benches/load/run", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round at 1 and 64 connections, and shorter: a look only")
    parser.add_argument("--rounds", type=int, help="how many rounds (3)")
    parser.add_argument("--only", metavar="PATTERN", help="measure only rows and parts whose key matches this regular expression")
    parser.add_argument("--list", action="store_true", help="print the rows' keys and stop")
    parser.add_argument(
        "--check", action="store_true", help="write no page; exit 1 when a figure is not reached that docs/performance.md says is")
    parser.add_argument("--report", metavar="FILE", type=Path, help="only write the page again from a run's results")
    parser.add_argument("--out", metavar="FOLDER", type=Path, help="write page and chart there, and leave docs/ and README.md")
    return parser.parse_args()


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


class Run:
    """One run: what is started, and what was found."""

    def __init__(self, options, world):
        self.options, self.world = options, world
        self.rows = [row for row in plan.ROWS if (
            re.search(options.only, row.key) if options.only else not (options.quick and row.long_warm_up))]
        self.failures = []
        self.servers = {}
        self.results = {"machine": machine.machine(), "rows": [], "signer": {}, "idle_mib": {}, "quick": options.quick}

    def tried(self, what, work):
        """Runs a part. One that fails costs its own rows only; the run goes on and says so at its end."""
        try:
            return work()
        except Failed as error:
            told = str(error)
        except Exception as error:  # a fault of the harness must not take the rest of half an hour with it
            told = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        self.failures.append(f"{what}: {told}")
        say(f"FAILED {what}: {told}")
        return None

    # --- Preparing ---

    def prepare(self):
        say("starting PostgreSQL and OpenBao")
        self.postgres, self.bao = Postgres(self.world), Bao(self.world, "openbao")
        self.kit = Servers(self.world, self.postgres, self.bao)
        self.results["machine"]["versions"] = machine.versions(self.postgres, self.kit)
        for database in ("load", "few", "many"):
            self.kit.migrate(database)
        self.token = seed.operator_token(self.kit.ours_binary, self.kit.environment(), self.world.folder)
        self.seed_groups()
        self.start_servers()
        self.prove_all()

    def wants(self, part):
        return not self.options.only or re.search(self.options.only, part)

    def wanted(self, *groups):
        used = " ".join(row.clients for row in self.rows)
        return [group for group in groups if not self.options.only or group in used]

    def seed_groups(self):
        keyed = {"SECRET_BACKEND": "keyed-digest"}
        kinds = (
            ("bcrypt", {"vault": False}, plan.GROUPS), ("vault", {}, {1: plan.GROUPS[1]}),
            ("keyed", {"vault": False, "keyed": True, **keyed}, {1: plan.GROUPS[1]}),
            ("selected", {"vault": False, "keyed": True}, {1: 24, 20: plan.GROUPS[20]}),
            ("flood", {"vault": False}, {20: plan.FLOOD_AGENTS}),
        )
        for kind, variant, groups in kinds:
            say(f"making {kind} credentials")
            self.tried(f"{kind} credentials", lambda: self.seed_kind(kind, variant, groups))
        if any(row.section == "agents" for row in self.rows) or self.wants("memory"):
            for size, count in plan.AGENTS.items():
                say(f"making {count:,} agents")
                self.tried(f"{size} agents", lambda: self.seed_numbered(size, count))

    def seed_kind(self, kind, variant, groups):
        server = self.kit.ours(f"seed-{kind}", **variant)
        seeder = seed.Seeder(server.origin, self.token, self.world.folder)
        for count, agents in groups.items():
            seeder.group(f"{kind}{count}", agents, count)
        self.world.stop(server.processes[0])

    def seed_numbered(self, size, count):
        hashed = ((number, seed.NUMBERED_DIGEST) for number in range(1, min(count, plan.HASHED) + 1))
        keyed = ((number, seed.keyed_digest(number)) for number in self.keyed_numbers(size))
        seed.numbered(self.postgres, size, itertools.chain(hashed, keyed))

    @staticmethod
    def keyed_numbers(size):
        count = plan.AGENTS[size]
        return range(plan.KEYED_FIRST, plan.KEYED_FIRST + max(count - plan.HASHED, min(count, plan.WORKING_SET)))

    def start_servers(self):
        kit, folder = self.kit, self.world.folder
        starts = {
            "hello": kit.hello, "node": kit.node, "python": kit.python,
            "ceiling-RS256": lambda: kit.ceiling("RS256"), "ceiling-EdDSA": lambda: kit.ceiling("EdDSA"),
            "oidc-provider": lambda: kit.oidc_provider(seed.clients_file(folder, "bcrypt1")),
            "approle": lambda: approle(Bao(self.world, "openbao-approle"), folder, plan.ROLES),
            "cold": lambda: kit.ours("cold", WARM_CAPACITY="0"),
            "rs256": lambda: kit.ours("rs256"),
            "eddsa": lambda: kit.ours("eddsa", algorithm="EdDSA"),
            "eddsa-async": lambda: kit.ours("eddsa-async", algorithm="EdDSA", AUDIT_MODE="async"),
            "eddsa-3": lambda: kit.ours("eddsa-3", replicas=3, algorithm="EdDSA"),
            "keyed-rs256": lambda: kit.ours("keyed-rs256", keyed=True),
            "keyed-eddsa": lambda: kit.ours("keyed-eddsa", keyed=True, algorithm="EdDSA"),
            "selector": lambda: kit.ours("selector", keyed=True, WARM_CAPACITY="0"),
            "agents-few": lambda: kit.ours("agents-few", keyed=True, database="few", algorithm="EdDSA"),
            "agents-many": lambda: kit.ours("agents-many", keyed=True, database="many", algorithm="EdDSA"),
        }
        for name in dict.fromkeys(row.server for row in self.rows):
            say(f"starting {name}")
            server = self.tried(name, starts[name])
            if server:
                self.servers[name] = server
                self.results["idle_mib"][name] = server.idle_mib
        self.rows = [row for row in self.rows if row.server in self.servers and self.has_clients(row)]

    def has_clients(self, row):
        return row.clients in ("working", "every") or seed.clients_file(self.world.folder, row.clients).exists()

    def traffic(self, row):
        if row.clients == "working":
            return Traffic("numbered", first=1, count=plan.WORKING_SET, secret=seed.NUMBERED_SECRET)
        if row.clients == "every":
            keyed = self.keyed_numbers("few" if row.server == "agents-few" else "many")
            return Traffic("numbered", first=keyed.start, count=len(keyed), secret=seed.NUMBERED_SECRET)
        return Traffic(row.kind, seed.clients_file(self.world.folder, row.clients), expect=row.expect)

    def parties(self, row):
        server = self.servers[row.server]
        return Parties(server.pids, server.others)

    def prove_all(self):
        """Every client of every warm row proves itself once, and peers are run hot."""
        for server, clients in dict.fromkeys((row.server, row.clients.removeprefix("wrong-")) for row in self.rows):
            row = next(row for row in self.rows if (row.server, row.clients.removeprefix("wrong-")) == (server, clients))
            if row.long_warm_up:
                # As many as there is time for: the row's share of hits is measured.
                say(f"reading rows into {server}")
                every_once(self.servers[server].urls[0], self.traffic(row), plan.AT, ROWS_WARM_UP)
            elif row.hits == plan.PROVED:
                say(f"proving {clients} to {server}")
                right = self.traffic(row) if clients == "working" else Traffic(
                    clients=seed.clients_file(self.world.folder, clients))
                for url in self.servers[server].urls:
                    self.tried(f"{clients} on {server}", lambda: prove(url, right))
            elif server in ("node", "python", "oidc-provider", "approle") and not row.slow:
                say(f"warming up {server}")
                one_load(self.servers[server].urls, self.traffic(row), plan.AT, PEER_WARM_UP, self.parties(row))

    # --- Measuring ---

    def rounds(self):
        quick = self.options.quick
        rounds = self.options.rounds or (1 if quick else 3)
        fast, slow = (QUICK_SECONDS, QUICK_SLOW_SECONDS) if quick else (SECONDS, SLOW_SECONDS)
        for number in range(1, rounds + 1):
            say(f"round {number} of {rounds}")
            self.empty_audit()
            for algorithm, count in SIGNATURES.items():
                if not self.options.only:
                    self.results["signer"].setdefault(algorithm, []).append(self.kit.signatures(algorithm, count))
            for row in self.rows:
                for connections in row.connections:
                    if quick and connections == 8:
                        continue
                    self.tried(row.key, lambda: self.one(number, row, connections, slow if row.slow else fast))

    def one(self, number, row, connections, seconds):
        server = self.servers[row.server]
        before = server.row_cache()
        found = measure(server.urls, self.traffic(row), connections, seconds, self.parties(row))
        rows = {outcome: count - before[outcome] for outcome, count in server.row_cache().items()}
        found["row_hits"] = rows["hit"] / sum(rows.values()) if sum(rows.values()) else None
        self.results["rows"].append({"row": row.key, "connections": connections, "round": number, **found})
        noisy = f"  others {found['foreign']:.0f} %" if found["foreign"] > FOREIGN_LIMIT else ""
        errors = f"  ERRORS {found['errors']}" if found["errors"] else ""
        say(f"  {row.title}, {connections}: {found['rps']:,.0f}/s, p50 {found['p50_ms']:.2f} ms, p99 {found['p99_ms']:.1f} ms"
            f"{errors}{noisy}")

    def empty_audit(self):
        """Each round begins with an empty audit table, so that the later ones do not write into a larger one."""
        for database in ("load", "few", "many"):
            self.postgres.psql(
                database, "set session_replication_role = replica; truncate audit_events; checkpoint;")

    def overload(self):
        cold = [found["rps"] for found in self.results["rows"] if (found["row"], found["connections"]) == ("cold-bcrypt", plan.AT)]
        if not cold:
            raise Failed("what can be hashed is not known: `cold-bcrypt` was not measured")
        rounds, seconds = (1, 5) if self.options.quick else (2, 8)
        self.guesses()
        for key, guesses, variant in (
                ("overload", "wrong-flood20", {}), ("overload-selectors", "wrong-any", {"keyed": True})):
            self.empty_audit()
            server = self.kit.ours(key, **variant)
            self.results[key] = overload.run(server, self.world.folder, max(cold), rounds, seconds, guesses)
            self.world.stop(server.processes[0])

    def guesses(self):
        """Wrong secrets for clients whose rows have selectors, and as many for clients that there are not."""
        known = seed.clients_file(self.world.folder, "wrong-selected20").read_text().splitlines(keepends=True)
        unknown = [f"{uuid.uuid4()} {line.split()[1]}\n" for line in known]
        lines = (line for pair in zip(known, unknown) for line in pair)
        seed.clients_file(self.world.folder, "wrong-any").write_text("".join(lines))

    def coldstart(self):
        self.results["coldstart"] = coldstart.run(self.kit, self.token)

    def change(self):
        self.results["change"] = {
            str(replicas): change.run(self.kit, self.token, f"change-{replicas}", replicas) for replicas in (1, 3)}

    def memory(self):
        """Of either cache while the other is off."""
        for cache, first, variant in (
                ("warm", 1, {"WARM_CAPACITY": "200000", "ROW_CACHE_CAPACITY": "0"}),
                ("rows", plan.KEYED_FIRST, {"WARM_CAPACITY": "0", "ROW_CACHE_CAPACITY": "200000", "keyed": True})):
            server = self.kit.ours(f"memory-{cache}", database="many", **variant)
            self.results.setdefault("memory", {})[cache] = memory.run(server, first)
            self.world.stop(server.processes[0])


def interrupted(*_):
    raise KeyboardInterrupt


def main():
    options = arguments()
    if options.list:
        print("\n".join([*(row.key for row in plan.ROWS), *PARTS]))
        return 0
    if options.report:
        report.write(json.loads(options.report.read_text()), options.out)
        return 0
    signal.signal(signal.SIGTERM, interrupted)
    signal.signal(signal.SIGHUP, interrupted)
    begin = time.monotonic()
    try:
        with World() as world:
            run = Run(options, world)
            run.prepare()
            run.rounds()
            for part in PARTS:
                if run.wants(part):
                    say(part)
                    run.tried(part, getattr(run, part))
    except KeyboardInterrupt:
        print("interrupted; everything that was started has been stopped", file=sys.stderr)
        return 130
    except Failed as error:
        print(f"benches/load: {error}", file=sys.stderr)
        return 1
    kept = Path(os.environ["TARGET"]) / "load/results.json"
    run.results["machine"]["minutes"] = round((time.monotonic() - begin) / 60)
    run.results["failures"] = run.failures
    kept.write_text(json.dumps(run.results, indent=1))
    print(report.tables(run.results))
    missed = figures.missed(run.results) if options.check else []
    if options.out or not (options.only or options.check):
        report.write(run.results, options.out)
    for failure in run.failures:
        print(f"not measured: {failure}", file=sys.stderr)
    for figure in missed:
        print(f"no longer reached: {figure}", file=sys.stderr)
    return 1 if run.failures or missed else 0


sys.exit(main())

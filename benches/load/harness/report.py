"""The page docs/performance.md, its chart, and the short table of README.md, all from one run's results."""

import re
import statistics
from pathlib import Path

import chart
import inprocess
import plan
from figures import Results, figures_table, head, line, target
from measure import FOREIGN_LIMIT
from world import ROOT

CHART = (
    ("hello-world hyper", "limit", "hello"), ("ceiling: EdDSA signer and hyper", "limit", "ceiling-EdDSA"),
    ("ceiling: RS256 signer and hyper", "limit", "ceiling-RS256"), ("warm, EdDSA, audit async", "ours", "bcrypt-async"),
    ("warm, EdDSA", "ours", "bcrypt-EdDSA"), ("warm, RS256", "ours", "bcrypt-RS256"), ("Vault, warm, EdDSA", "ours", "vault-EdDSA"),
    ("Vault, uncached, RS256", "ours", "cold-vault"), ("bcrypt, cold, RS256", "ours", "cold-bcrypt"),
    ("OpenBao AppRole, batch tokens", "peer", "approle"), ("oidc-provider, plain secrets", "peer", "oidc"),
    ("Node stack, Vault", "peer", "node-vault"), ("Python stack, Vault", "peer", "python-vault"),
    ("Node stack, bcrypt", "peer", "node-bcrypt"), ("Python stack, bcrypt", "peer", "python-bcrypt"),
)
SHORT = ("hello", "ceiling-RS256", "bcrypt-EdDSA", "bcrypt-RS256", "cold-vault", "cold-bcrypt", "approle", "oidc", "node-vault",
         "node-bcrypt", "python-bcrypt")


# --- Tables ---------------------------------------------------------------------------------------------------------


def spread(values):
    show = (lambda value: f"{value:,.0f}") if statistics.median(values) >= 100 else (lambda value: f"{value:.1f}")
    middle = show(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} ({show(min(values))}..{show(max(values))})"


def measured(results, section):
    lines = [head("what", "connections", "requests/s", "p50 ms", "p99 ms", "CPU ms: server", "PostgreSQL", "OpenBao", "client",
                  "PSS MiB", "proved", "rows in memory", "errors", "others %")]
    for row in plan.ROWS:
        for connections in row.connections if row.section == section else ():
            found = results.of(row.key, connections)
            if found:
                lines.append(measured_line(row, connections, found))
    return "\n".join(lines)


def measured_line(row, connections, found):
    median = lambda of: statistics.median(of(each) for each in found)
    rows = [each["row_hits"] for each in found if each.get("row_hits") is not None]
    cpu = lambda name: median(lambda each: each["cpu_ms"].get(name, 0.0))
    return line(
        row.title, str(connections), spread([each["rps"] for each in found]), f"{median(lambda each: each['p50_ms']):.2f}",
        f"{median(lambda each: each['p99_ms']):.2f}", *(f"{cpu(name):.3f}" for name in ("server", "pg", "bao", "client")),
        f"{median(lambda each: each['pss_mib']):.0f}", row.hits, f"{statistics.median(rows):.0%}" if rows else "–", str(sum(each["errors"] for each in found)),
        f"{median(lambda each: each['foreign']):.0f}")


def signer(results):
    lines = [head("signer alone, on all cores", "signatures/s")]
    lines += [line(algorithm, spread(values)) for algorithm, values in results.raw["signer"].items()]
    return "\n".join(lines)


NOT_MEASURED = "Not measured in this run."

FLOODS = {
    "overload": "wrong secrets a second for clients with 20 unproved bcrypt credentials each, in rows without selectors, ten times the "
                "digests that the cold server computes",
    "overload-selectors": "wrong secrets a second, half of them for clients with 20 unproved bcrypt credentials each, in rows with "
                          "selectors, half for clients that there are not",
}


def overload_text(results):
    return "\n\n".join(flood_text(results.raw[key], flood) for key, flood in FLOODS.items() if key in results.raw) or NOT_MEASURED


def flood_text(told, flood):
    lines = [head("warm clients, 64 connections", "requests/s", "p50 ms", "p99 ms", "server CPU ms, without digests",
                  "cores busy with digests", "slowest `/health` ms", "errors")]
    for name, found in (("alone", told["alone"]), ("beside the flood", told["beside"])):
        median = lambda of: statistics.median(of(each) for each in found)
        lines.append(line(
            name, spread([each["rps"] for each in found]), f"{median(lambda each: each['p50_ms']):.1f}",
            f"{median(lambda each: each['p99_ms']):.1f}", f"{median(lambda each: each['own_cpu_ms']):.3f}",
            f"{median(lambda each: each['hashing_s'] / (each['requests'] / each['rps'])):.2f}",
            f"{max(each['health_ms'] for each in found):.0f}", str(sum(each["errors"] for each in found))))
    fate, leaving = told["fate"], told["leaving"]
    total = lambda name: sum(each.get(name, 0) for each in fate)
    statuses = sorted({name for each in fate for name in each} - {"asked", "p50_ms", "Retry-After"})
    answers = ", ".join(f"{name}: {total(name):,}" for name in statuses)
    return "\n".join([
        f"The flood: {told['rate']:.0f} {flood}; {total('asked'):,} in all. What they got: {answers}; {total('Retry-After'):,} with "
        "`Retry-After`.", "", *lines, "",
        f"Clients that hang up 20 ms after they have asked, at the same rate ({leaving['fate'].get('left', 0):,} of them): PSS "
        f"{leaving['before']:.1f} MiB before, {leaving['first_third']:.1f} in the first third, {leaving['last_third']:.1f} in the "
        f"last, {leaving['most']:.1f} at most, {leaving['after']:.1f} after.",
    ])


def cold_start_text(results):
    told = results.raw.get("coldstart")
    if not told:
        return NOT_MEASURED
    answers = ", ".join(f"{status}: {count:,}" for status, count in sorted(told["answers"].items()))
    return (f"{plan.STARTING:,} clients with bcrypt digests after a restart, {plan.AT} requests in flight, each asking again when "
            f"`Retry-After` says: all had their token after {told['seconds']:.0f} s. Answers: {answers}.")


def change_text(results):
    told = results.raw.get("change")
    if not told:
        return NOT_MEASURED
    lines = [head("a rotation, acknowledged", "p50 ms", "p99 ms")]
    for replicas, name in (("1", "one server"), ("3", "beside two idle replicas")):
        lines.append(line(name, f"{told[replicas]['p50_ms']:.1f}", f"{told[replicas]['p99_ms']:.1f}"))
    return "\n".join(lines)


def memory_text(results):
    idle = results.raw["idle_mib"]
    lines = [head("idle, just started", "PSS MiB")]
    lines += [line(f"`{name}`", f"{idle[name]:.1f}") for name in ("rs256", "node", "python", "oidc-provider", "approle") if name in idle]
    for cache, name in (("warm", "warm entries"), ("rows", "credentials in the row cache")):
        memory = results.raw.get("memory", {}).get(cache)
        if memory:
            lines += ["", f"{memory['entries']:,} {name} took {memory['after_mib'] - memory['before_mib']:.1f} MiB: "
                          f"{memory['bytes']:.0f} bytes each."]
    return "\n".join(lines)


def tables(raw):
    """What the run prints: the figures, and everything measured."""
    results = Results(raw)
    parts = [figures_table(results)] + [measured(results, section) for section in ("main", "credentials", "agents", "replicas")]
    return "\n\n".join([*parts, overload_text(results), cold_start_text(results), change_text(results), memory_text(results)])


# --- The page -------------------------------------------------------------------------------------------------------

NOTES = "<!-- notes: begin -->\n## Where a figure is not reached\n\nNothing is noted yet.\n<!-- notes: end -->"


def between(name, text, fallback):
    """A part that people write, or that others' text surrounds: kept as it is."""
    found = re.search(f"<!-- {name}: begin -->.*?<!-- {name}: end -->", text, re.S)
    return found.group(0) if found else fallback


def about(machine):
    told = machine["versions"]
    packages = lambda of: ", ".join(f"{name} {version}" for name, version in of.items())
    return (
        f"{machine['date']}, commit {told['commit']}, {machine['minutes']} minutes. {machine['cores']} cores of an "
        f"{machine['cpu'].strip()}, {machine['memory_gib']} GiB, {machine['system']}, kernel {machine['kernel']}. rustc "
        f"{told['rustc']}, PostgreSQL {told['PostgreSQL']}, OpenBao {told['OpenBao']}, node {told['node']} "
        f"({packages(told['node_packages'])}), Python {told['Python']} ({packages(told['python_packages'])}).")


def page(results, notes):
    raw = results.raw
    found = inprocess.estimates(target())
    quick = "\n**A quick run: too few rounds to quote.**\n" if raw["quick"] else ""
    return f"""# Performance

What `./benches/load/run` measured, as it wrote it. Anyone can repeat it; [how](../benches/load/README.md) says also what each
row is, and what such a measurement cannot tell. Client, server, PostgreSQL and OpenBao share the cores, so **quote the
ratios**: the absolute numbers are the machine's.
{quick}
{about(raw["machine"])}

![Token requests a second at {plan.AT} connections](performance.svg)

## Figures to reach

At {plan.AT} connections; the median of the ratios of each round. *By processor time* is the same ratio from what a request costs
all that take part, client and database too: a second opinion that other processes on the machine do not touch. Where one
of the two cannot keep all cores busy, as one process of Node or Python, throughput says more.

{figures_table(results)}

\\* in at least one round others used more than {FOREIGN_LIMIT:.0f} % of the machine meanwhile.

{notes}

## Token endpoint

{measured(results, "main")}

*Proved* is the share of requests whose secret the warm layer decides: every client of a warm row proved itself once before
it was measured, so all of them. *Rows in memory* is the share whose rows came from the row cache, as the server counts it. PostgreSQL, OpenBao and client are their own processor time for each request
of that row. *Others* is how much of the machine other processes used meanwhile.

{signer(results)}

## Growth

Credentials of one agent, EdDSA, durable audit. A wrong secret is answered 401, and its audit event is durable, too.

{measured(results, "credentials")}

Agents in the tables, EdDSA, durable audit.

{measured(results, "agents")}

Replicas on one PostgreSQL, the connections spread over them; they share the same cores, so this shows what sharing
costs, not what more machines bring. Each replica proves each client for itself.

{measured(results, "replicas")}

## Overload

{overload_text(results)}

## Cold start

{cold_start_text(results)}

## Changes

A change is acknowledged when every server obeys it.

{change_text(results)}

## Memory

{memory_text(results)}

## In process

From the last `cargo bench` in the same build folder; [benches/README.md](../benches/README.md) says what the groups mean.

{inprocess.table(found) if found else "`cargo bench` was not run."}
"""


def short(results):
    """The part of README.md."""
    lines = [head("token requests, 64 connections", "requests/s", "p99 ms", "times Node with bcrypt")]
    titles = {row.key: row.title for row in plan.ROWS}
    for key in SHORT:
        rps = results.median(key)
        if rps:
            times = results.ratio(key, "node-bcrypt")
            times = "–" if times is None else f"{times:,.1f}" if times < 20 else f"{times:,.0f}"
            lines.append(line(titles[key], f"{rps:,.0f}", f"{results.median(key, 'p99_ms'):.1f}", times))
    return "\n".join(["<!-- load: begin -->", "![Token requests a second](docs/performance.svg)", "", *lines, "<!-- load: end -->"])


def write(raw, folder=None):
    results = Results(raw)
    docs = folder or ROOT / "docs"
    docs.mkdir(parents=True, exist_ok=True)
    performance = docs / "performance.md"
    before = performance.read_text() if performance.exists() else ""
    performance.write_text(page(results, between("notes", before, NOTES)))
    bars = [(label, kind, results.median(key)) for label, kind, key in CHART if results.median(key)]
    if bars:
        title = f"Token requests a second, {plan.AT} connections, {raw['machine']['cores']} cores (logarithmic)"
        (docs / "performance.svg").write_text(chart.svg(title, bars))
    if folder is None:
        readme = ROOT / "README.md"
        text = readme.read_text()
        readme.write_text(text.replace(between("load", text, "\0"), short(results)))
    print(f"written: {performance.name} and performance.svg in {'docs/' if folder is None else folder}")

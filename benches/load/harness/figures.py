"""The figures to reach: what a run's results come to, and what was asked for."""

import os
import re
import statistics
from dataclasses import dataclass
from pathlib import Path

import inprocess
import plan
from measure import FOREIGN_LIMIT
from world import ROOT

MEMORY_IDLE_MIB, MEMORY_ENTRY_BYTES, MEMORY_ROW_BYTES = 30, 128, 250
KEPT_THROUGHPUT = {"overload": 0.7, "overload-selectors": 0.95}
P99_TIMES, HEALTH_MS = 2.0, 100.0
COLD_START_TIMES, CHANGE_MS = 1.25, 10.0


class Results:
    def __init__(self, raw):
        self.raw, self.rows = raw, raw["rows"]

    def of(self, row, connections=plan.AT):
        return [found for found in self.rows if (found["row"], found["connections"]) == (row, connections)]

    def median(self, row, what="rps", connections=plan.AT):
        values = [found[what] for found in self.of(row, connections)]
        return statistics.median(values) if values else None

    def ratio(self, row, over):
        """The median of what each round gives by itself: drift of the machine is in both."""
        below = {found["round"]: found["rps"] for found in self.of(over)}
        ratios = [found["rps"] / below[found["round"]] for found in self.of(row) if below.get(found["round"])]
        return statistics.median(ratios) if ratios else None

    def by_cpu(self, row, over):
        """The same ratio by what a request of each costs in processor time, of all that take part: what other processes do
        on the machine hardly shows in it."""
        cost = lambda key: statistics.median(sum(found["cpu_ms"].values()) for found in self.of(key))
        return cost(over) / cost(row) if self.of(row) and self.of(over) else None

    def disturbed(self, *rows):
        return any(found["foreign"] > FOREIGN_LIMIT for row in rows for found in self.of(row))


def target():
    return Path(os.environ.get("TARGET", ROOT / "target"))


def line(*cells):
    return "| " + " | ".join(cells) + " |"


def head(*cells):
    return line(*cells) + "\n" + line(*("---" for _ in cells))


@dataclass
class Figure:
    """What was measured, what was asked for, and whether it was reached."""

    what: str
    value: float
    limit: float
    shown: str
    least: bool = True
    unit: str = ""
    by_cpu: str = ""
    note: str = ""

    @property
    def reached(self):
        return None if self.value is None else self.value >= self.limit if self.least else self.value <= self.limit

    def line(self):
        asked = f"{'≥' if self.least else '≤'} {self.limit:g}{self.unit}"
        if self.value is None:
            return line(self.what, "not measured", asked, "–", self.by_cpu)
        return line(self.what, self.shown.format(self.value) + self.unit + self.note, asked, "✓" if self.reached else "✗", self.by_cpu)


def figures(results):
    """All of them, in the order of the page."""
    for what, ratio, limit in inprocess.figures(inprocess.estimates(target())):
        yield Figure(what, ratio, limit, "{:.2f}", least=False, unit="×")
    for each in plan.RATIOS:
        yield ratio_figure(results, each)
    raw = results.raw
    yield Figure("memory of the idle server (PSS)", raw["idle_mib"].get("rs256"), MEMORY_IDLE_MIB, "{:.1f}", False, " MiB")
    for cache, what, limit in (("warm", "memory of a warm entry", MEMORY_ENTRY_BYTES), ("rows", "memory of a row", MEMORY_ROW_BYTES)):
        yield Figure(what, raw.get("memory", {}).get(cache, {}).get("bytes"), limit, "{:.0f}", False, " bytes")
    for key, which in (("overload", "rows without selectors"), ("overload-selectors", "with selectors")):
        under = overload(results, key)
        yield Figure(f"overload, {which}: throughput that warm clients keep", under.get("kept"), KEPT_THROUGHPUT[key], "{:.2f}", unit="×")
        yield Figure(f"overload, {which}: their p99, against alone", under.get("p99"), P99_TIMES, "{:.2f}", False, "×")
        yield Figure(f"overload, {which}: slowest answer of `/health`", under.get("health"), HEALTH_MS, "{:.0f}", False, " ms")
    yield Figure("cold start: time for all / clients by the cold rate", cold_start(results), COLD_START_TIMES, "{:.2f}", False, "×")
    yield Figure("a rotation beside two idle replicas, more than alone", change_price(results), CHANGE_MS, "{:.1f}", False, " ms")


def ratio_figure(results, each):
    value, by_cpu = results.ratio(each.row, each.over), results.by_cpu(each.row, each.over)
    shown = lambda ratio: "{:,.0f}" if ratio and ratio >= 20 else "{:.2f}"
    told = f"{shown(by_cpu).format(by_cpu)}×" if by_cpu else ""
    if by_cpu and each.least_by_cpu:
        told += f" (≥ {each.least_by_cpu:g}×: {'✓' if by_cpu >= each.least_by_cpu else '✗'})"
    note = " \\*" if results.disturbed(each.row, each.over) else ""
    return Figure(each.what, value, each.least, shown(value), unit="×", by_cpu=told, note=note)


def figures_table(results):
    return "\n".join([head("what", "measured", "asked for", "", "by processor time"), *(figure.line() for figure in figures(results))])


def missed(raw):
    """The figures that docs/performance.md says are reached, and this run did not."""
    promised = re.findall(r"^\| (.+?) \| [^|]+ \| [^|]+ \| ✓ \|", (ROOT / "docs/performance.md").read_text(), re.M)
    return [figure.line() for figure in figures(Results(raw)) if figure.what in promised and figure.reached is False]


def overload(results, key):
    told = results.raw.get(key)
    if not told:
        return {}
    pairs = list(zip(told["alone"], told["beside"]))
    median = lambda of: statistics.median(of(alone, beside) for alone, beside in pairs)
    return {
        "kept": median(lambda alone, beside: beside["rps"] / alone["rps"]),
        "p99": median(lambda alone, beside: beside["p99_ms"] / alone["p99_ms"]),
        "health": max(beside["health_ms"] for _, beside in pairs),
        "own": median(lambda alone, beside: beside["own_cpu_ms"] / alone["own_cpu_ms"]),
    }


def cold_start(results):
    """How much longer than digests alone take."""
    told, rate = results.raw.get("coldstart"), results.median("cold-bcrypt")
    return told["seconds"] * rate / plan.STARTING if told and rate else None


def change_price(results):
    told = results.raw.get("change")
    return told["3"]["p50_ms"] - told["1"]["p50_ms"] if told else None

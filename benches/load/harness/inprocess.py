"""What `cargo bench` found: criterion's estimates, as ratios to the bare primitive."""

import json
from pathlib import Path


def estimates(target):
    """`{(group, case): nanoseconds}` of the last run of each benchmark, empty where there was none."""
    found = {}
    for about in Path(target).glob("criterion/**/new/benchmark.json"):
        told = json.loads(about.read_text())
        values = json.loads((about.parent / "estimates.json").read_text())
        case = "/".join(part for part in (told["function_id"], told["value_str"]) if part)
        found[told["group_id"], case] = (values.get("slope") or values["mean"])["point_estimate"]
    return found


# What the issue asks for: each case over its group's bare primitive, at most.
FIGURES = (
    ("warm verification in process / one MAC of the candidate", "warm", ("right/bcrypt", "wrong/bcrypt"), 3.0),
    ("`verify_any` over 20 warm credentials / one MAC of the candidate", "warm/store", ("right/20", "wrong/20"), 8.0),
    ("lone cold bcrypt verification / one call of the `bcrypt` crate", "bcrypt", ("right", "wrong"), 1.02),
    ("lone cold argon2id verification / one call of the `argon2` crate", "argon2id", ("right", "wrong"), 1.1),
)


def figures(found):
    """(what, ratio or None, limit) for each figure: the worse of its cases."""
    out = []
    for what, group, cases, limit in FIGURES:
        bare = found.get((group, "bare"))
        ratios = [found[group, case] / bare for case in cases if bare and (group, case) in found]
        out.append((what, max(ratios) if ratios else None, limit))
    return out


def readable(nanoseconds):
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if nanoseconds >= size:
            return f"{nanoseconds / size:.3g} {unit}"
    return f"{nanoseconds:.3g} ns"


def table(found):
    """Every benchmark beside the bare primitive of its group."""
    lines = ["| group | case | time | times `bare` |", "|---|---|---|---|"]
    for (group, case), time in sorted(found.items()):
        bare = found.get((group, "bare"))
        lines.append(f"| `{group}` | `{case}` | {readable(time)} | {f'{time / bare:.2f}' if bare else '–'} |")
    return "\n".join(lines)

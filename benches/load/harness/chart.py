"""A bar chart as plain SVG: no library, no font of its own, legible on a light page and on a dark one."""

import math
from html import escape

WIDTH, LEFT, RIGHT, BAR, GAP, TOP = 840, 310, 90, 20, 8, 58
COLOURS = {"limit": ("#8c959f", "#6e7681"), "peer": ("#bf8700", "#d29922"), "ours": ("#0969da", "#4493f8")}
NAMES = {"limit": "limits", "peer": "others", "ours": "AgentIdP"}


def svg(title, bars):
    """`bars`: (label, kind, value). The axis is logarithmic: each line is ten times the one before."""
    low = 10 ** math.floor(math.log10(min(value for _, _, value in bars) / 1.5))
    high = 10 ** math.ceil(math.log10(max(value for _, _, value in bars)))
    height = TOP + len(bars) * (BAR + GAP) + 34
    bottom = height - 30
    x = lambda value: LEFT + (WIDTH - LEFT - RIGHT) * math.log10(value / low) / math.log10(high / low)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img"'
        f' aria-label="{escape(title)}" font-family="system-ui, sans-serif" font-size="13">', style(),
        f'<text class="text title" x="8" y="20">{escape(title)}</text>', legend(),
    ]
    for power in range(round(math.log10(low)), round(math.log10(high)) + 1):
        at = x(10**power)
        lines.append(f'<line class="grid" x1="{at:.1f}" y1="{TOP - 8}" x2="{at:.1f}" y2="{bottom}"/>')
        lines.append(f'<text class="text" x="{at:.1f}" y="{bottom + 18}" text-anchor="middle">{10**power:,}</text>')
    for place, (label, kind, value) in enumerate(bars):
        y = TOP + place * (BAR + GAP)
        middle = y + BAR * 0.72
        lines.append(f'<text class="text" x="{LEFT - 8}" y="{middle:.1f}" text-anchor="end">{escape(label)}</text>')
        lines.append(f'<rect class="{kind}" x="{LEFT}" y="{y}" width="{x(value) - LEFT:.1f}" height="{BAR}" rx="2"/>')
        lines.append(f'<text class="text" x="{x(value) + 6:.1f}" y="{middle:.1f}">{value:,.0f}</text>')
    return "\n".join([*lines, "</svg>", ""])


def style():
    """Colours follow the reader's theme; the light ones stand where that is not understood."""
    rules = lambda dark: "".join(f".{kind}{{fill:{pair[dark]}}}" for kind, pair in COLOURS.items())
    text = lambda colour, grid: f".text{{fill:{colour}}}.grid{{stroke:{grid};stroke-width:1}}"
    return (f"<style>.title{{font-weight:600;font-size:15px}}{text('#1f2328', '#d1d9e0')}{rules(0)}"
            f"@media (prefers-color-scheme: dark){{{text('#f0f6fc', '#3d444d')}{rules(1)}}}</style>")


def legend():
    at, parts = 8, []
    for kind, name in NAMES.items():
        parts.append(f'<rect class="{kind}" x="{at}" y="30" width="12" height="12" rx="2"/>')
        parts.append(f'<text class="text" x="{at + 18}" y="41">{name}</text>')
        at += 90
    return "".join(parts)

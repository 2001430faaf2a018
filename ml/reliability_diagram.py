"""The reliability diagram as an SVG: how often the model is right, by how sure it says it is."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml.evaluate import Bin

_SIDE, _LEFT, _TOP, _COUNTS = 320, 56, 44, 56
_WIDTH, _HEIGHT = _LEFT + _SIDE + 24, _TOP + _SIDE + 24 + _COUNTS + 44
# One file for light and dark pages: where a viewer knows no media queries, the light colours hold. Plain rules, since
# many viewers know no variables either.
_RULES = """
  text {{ fill: {ink} }} text.quiet {{ fill: {quiet} }} .page {{ fill: {page} }} .bar {{ fill: {bar} }}
  .grid {{ stroke: {grid} }} .ideal {{ stroke: {ink} }} .frame {{ stroke: {ink} }}
"""
_LIGHT = _RULES.format(ink="#1f2328", quiet="#6e7781", grid="#d8dee4", bar="#0969da", page="#ffffff")
_DARK = _RULES.format(ink="#e6edf3", quiet="#9198a1", grid="#3d444d", bar="#58a6ff", page="#0d1117")
_STYLE = f"""
  text {{ font: 12px system-ui, sans-serif }} .ideal {{ stroke-dasharray: 4 4 }} .frame {{ fill: none }}{_LIGHT}
  @media (prefers-color-scheme: dark) {{{_DARK}  }}
"""


def reliability_diagram(bins: Sequence[Bin], title: str, ece: float) -> str:
    """Return an SVG of the bins: bars for the share right, a dashed line where it would equal the confidence, and the
    number of photos of each bin below. ``ece`` is the expected calibration error, 0-1.
    """
    most = max((found.photos for found in bins), default=0) or 1
    total = sum(found.photos for found in bins)
    base = _TOP + _SIDE
    counts_base = base + 24 + _COUNTS
    middle = _TOP + _SIDE // 2
    size = f'width="{_WIDTH}" height="{_HEIGHT}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" {size} role="img">',
        f"<title>{escape(title)}: reliability</title>",
        f"<style>{_STYLE}</style>",
        f'<rect class="page" {size}/>',
        f'<text x="{_LEFT}" y="20">{escape(title)}</text>',
        f'<text class="quiet" x="{_LEFT}" y="36">{total:,} photos, calibration error {ece:.3f}</text>',
    ]
    for step in range(0, 11, 2):
        y = base - step / 10 * _SIDE
        x = _LEFT + step / 10 * _SIDE
        parts.append(f'<line class="grid" x1="{_LEFT}" y1="{y:g}" x2="{_LEFT + _SIDE}" y2="{y:g}"/>')
        parts.append(f'<text class="quiet" x="{_LEFT - 8}" y="{y + 4:g}" text-anchor="end">{step * 10} %</text>')
        parts.append(f'<text class="quiet" x="{x:g}" y="{counts_base + 16}" text-anchor="middle">{step * 10} %</text>')
    for found in bins:
        if not found.photos:
            continue
        x, wide = _LEFT + found.low * _SIDE + 1, (found.high - found.low) * _SIDE - 2
        tall, count = found.accuracy * _SIDE, found.photos / most * _COUNTS
        says = f"{found.low:.0%} to {found.high:.0%}: {found.photos} photos, {found.accuracy:.0%} right"
        parts.append(f'<g class="bar"><title>{says}</title>')
        parts.append(f'<rect x="{x:.1f}" y="{base - tall:.1f}" width="{wide:.1f}" height="{tall:.1f}"/>')
        beside = f'x="{x:.1f}" width="{wide:.1f}" opacity="0.5"'
        parts.append(f'<rect {beside} y="{counts_base - count:.1f}" height="{count:.1f}"/></g>')
    turned = f'text-anchor="middle" transform="rotate(-90 14 {middle})"'
    parts += [
        f'<line class="ideal" x1="{_LEFT}" y1="{base}" x2="{_LEFT + _SIDE}" y2="{_TOP}"/>',
        f'<rect class="frame" x="{_LEFT}" y="{_TOP}" width="{_SIDE}" height="{_SIDE}"/>',
        f'<text class="quiet" x="{_LEFT - 8}" y="{counts_base}" text-anchor="end">photos</text>',
        f'<text x="{_LEFT + _SIDE / 2:g}" y="{counts_base + 34}" text-anchor="middle">how sure the model is</text>',
        f'<text x="14" y="{middle}" {turned}>how often it is right</text>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"

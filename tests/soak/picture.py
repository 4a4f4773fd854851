"""Draws the samples of a soak: one panel for each kind of figure, all over the same minutes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Callable, NamedTuple

from tests.soak.samples import Sample

_WIDTH, _HEIGHT, _LEFT, _TOP, _GAP = 640, 110, 60, 30, 50
_COLORS = ("#1f6feb", "#d1662f", "#2f8f4e")
Curve = tuple[str, Callable[[Sample], float]]


class Panel(NamedTuple):
    """Some curves with one scale, from 0 on."""

    unit: str
    curves: tuple[Curve, ...]


_PANELS = (
    Panel(
        "MB", (("RSS, both", lambda s: s.both_mb), ("agent", lambda s: s.agent_mb), ("workers", lambda s: s.workers_mb))
    ),
    Panel("MB", (("kernel memory of the maps", lambda s: s.kernel_mb),)),
    Panel("", (("descriptors of the agent", lambda s: s.agent_fds), ("of its workers", lambda s: s.workers_fds))),
    Panel("", (("series", lambda s: s.series), ("sites", lambda s: s.sites))),
    Panel(
        "", (("sockets told by an answer", lambda s: s.told), ("with the stack of their last call", lambda s: s.stacks))
    ),
)


def drawn(samples: Sequence[Sample]) -> str:
    """An SVG document."""
    longest = max(samples[-1].s, 1.0)
    height = _TOP + len(_PANELS) * (_HEIGHT + _GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_LEFT + _WIDTH + 20}" height="{height}"'
        ' font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for number, panel in enumerate(_PANELS):
        parts += _panel(panel, samples, longest, _TOP + number * (_HEIGHT + _GAP))
    return "\n".join([*parts, "</svg>", ""])


def _panel(panel: Panel, samples: Sequence[Sample], longest: float, top: int) -> list[str]:
    most = max(max(get(sample) for sample in samples) for _, get in panel.curves) or 1.0
    bottom = top + _HEIGHT
    parts = [
        f'<path d="M{_LEFT} {top}V{bottom}H{_LEFT + _WIDTH}" fill="none" stroke="#888"/>',
        f'<text x="{_LEFT - 6}" y="{top + 4}" text-anchor="end">{most:.0f} {panel.unit}</text>',
        f'<text x="{_LEFT - 6}" y="{bottom}" text-anchor="end">0</text>',
        f'<text x="{_LEFT + _WIDTH}" y="{bottom + 16}" text-anchor="end">{longest / 60:.0f} minutes</text>',
    ]
    at = _LEFT + 8
    for (name, get), color in zip(panel.curves, _COLORS):
        points = " ".join(
            f"{_LEFT + _WIDTH * sample.s / longest:.1f},{bottom - _HEIGHT * get(sample) / most:.1f}"
            for sample in samples
        )
        parts.append(f'<polyline points="{points}" fill="none" stroke="{color}"/>')
        parts.append(f'<text x="{at}" y="{top - 8}" fill="{color}">{name}</text>')
        at += 8 * len(name) + 16
    return parts

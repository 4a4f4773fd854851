"""What a soak showed, as a table: a line for some moments, and the span of each figure after ten minutes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Callable

from tests.soak.samples import Sample

_SETTLED_S = 600.0
_MOMENTS = 7
_COLUMNS: tuple[tuple[str, Callable[[Sample], float], str], ...] = (
    ("RSS of the agent, MB", lambda s: s.agent_mb, ".1f"),
    ("of its workers, MB", lambda s: s.workers_mb, ".1f"),
    ("both, MB", lambda s: s.both_mb, ".1f"),
    ("kernel memory of maps, MB", lambda s: s.kernel_mb, ".1f"),
    ("descriptors", lambda s: s.agent_fds, ".0f"),
    ("of workers", lambda s: s.workers_fds, ".0f"),
    ("series", lambda s: s.series, ".0f"),
    ("sites", lambda s: s.sites, ".0f"),
    ("in CLOSE_WAIT", lambda s: s.waiting, ".0f"),
    ("told by the last answer", lambda s: s.told, ".0f"),
    ("of these with a stack", lambda s: s.stacks, ".0f"),
    ("steps of --max-overhead", lambda s: s.steps, ".0f"),
    ("program starts", lambda s: s.starts, ".0f"),
)


def written(samples: Sequence[Sample]) -> str:
    """A Markdown table."""
    lines = [_line(["minute", *(name for name, _, _ in _COLUMNS)]), _line(["---"] * (1 + len(_COLUMNS)))]
    step = max(1, (len(samples) - 1) // (_MOMENTS - 1))
    for sample in samples[::step]:
        lines.append(_line([f"{sample.s / 60:.0f}", *(format(get(sample), form) for _, get, form in _COLUMNS)]))
    settled = [sample for sample in samples if sample.s >= _SETTLED_S]
    if settled:
        spans = [(min(map(get, settled)), max(map(get, settled)), form) for _, get, form in _COLUMNS]
        lines.append(_line(["10 to the end", *(f"{low:{form}} to {high:{form}}" for low, high, form in spans)]))
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"

"""Which format a command writes: the one place where --json is decided."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tracer.reports.writers import CensusWriter, LifeWriter, ReportWriter, TransitionWriter

# A writer is made after attaching, and brings its format's modules along then.


def report_writer(as_json: bool, all_frames: bool) -> ReportWriter:
    """Write a trace's report."""
    if as_json:
        from tracer.reports.json.writers import JsonReport

        return JsonReport()
    from tracer.reports.text.writers import TextReport

    return TextReport(all_frames)


def transition_writer(as_json: bool, all_frames: bool, clock_offset_ns: int) -> TransitionWriter:
    """Write transitions; ``clock_offset_ns`` added to CLOCK_MONOTONIC gives ns since the epoch."""
    if as_json:
        from tracer.reports.json.writers import JsonTransitions

        return JsonTransitions(clock_offset_ns)
    from tracer.reports.text.writers import TextTransitions

    return TextTransitions(clock_offset_ns, all_frames)


def life_writer(as_json: bool, clock_offset_ns: int) -> LifeWriter:
    """Write connections; ``clock_offset_ns`` as above."""
    if as_json:
        from tracer.reports.json.writers import JsonLives

        return JsonLives(clock_offset_ns)
    from tracer.reports.text.writers import TextLives

    return TextLives(clock_offset_ns)


def census_writer(as_json: bool, rows: int, *, watching: bool) -> CensusWriter:
    """Write a census of at most ``rows`` groups (0: all); ``watching``: it will be written again and again."""
    if as_json:
        from tracer.reports.json.writers import JsonCensus

        return JsonCensus(watching)
    from tracer.reports.text.writers import TextCensus

    return TextCensus(rows, watching)

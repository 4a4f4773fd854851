"""Chooses the format that a command writes. Only this module decides about --json, --html and --pprof."""

from __future__ import annotations

from typing import TYPE_CHECKING, Union

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tracer.model.finding import Report
    from tracer.model.merged import Merged
    from tracer.reports.writers import CensusWriter, LifeWriter, ReportWriter, TransitionWriter

# A writer is made after attaching, and only then imports the modules of its format.


def report_writer(as_json: bool, all_frames: bool, *, alone: bool = True) -> ReportWriter:
    """Return the writer of a trace's report. ``alone``: nothing else writes to the terminal meanwhile."""
    if as_json:
        from tracer.reports.json.writers import JsonReport

        return JsonReport()
    from tracer.reports.text.writers import TextReport

    return TextReport(all_frames, alone=alone)


def recorded(
    found: Union[Report, Merged], form: str, all_frames: bool, *, width: int, color: bool
) -> Iterator[Union[str, bytes]]:
    """A recorded report, or several as one, in pieces. ``form`` is ``text``, ``json``, ``html`` or ``pprof``."""
    from tracer.model.merged import Merged

    if form == "pprof":
        from tracer.reports.pprof import report as profile

        yield profile.profile_of_merged(found) if isinstance(found, Merged) else profile.profile(found)
        return
    if form == "html":
        from tracer.reports.html import page

        yield from page.of_merged(found) if isinstance(found, Merged) else page.of_report(found)
    elif isinstance(found, Merged):
        from tracer.reports.json import merged as merged_json
        from tracer.reports.text import merged as merged_text

        if form == "json":
            yield from merged_json.to_text(found)
        else:
            yield merged_text.render(found, width=width, color=color, all_frames=all_frames)
    else:
        from tracer.reports.json import report as report_json
        from tracer.reports.text import table

        if form == "json":
            yield from report_json.to_text(found)
        else:
            yield table.render(found, width=width, color=color, all_frames=all_frames)


def transition_writer(as_json: bool, all_frames: bool, clock_offset_ns: int) -> TransitionWriter:
    """Return the writer of transitions. ``clock_offset_ns`` added to CLOCK_MONOTONIC gives ns since the epoch."""
    if as_json:
        from tracer.reports.json.writers import JsonTransitions

        return JsonTransitions(clock_offset_ns)
    from tracer.reports.text.writers import TextTransitions

    return TextTransitions(clock_offset_ns, all_frames)


def life_writer(as_json: bool, clock_offset_ns: int) -> LifeWriter:
    """Return the writer of connections; ``clock_offset_ns`` as above."""
    if as_json:
        from tracer.reports.json.writers import JsonLives

        return JsonLives(clock_offset_ns)
    from tracer.reports.text.writers import TextLives

    return TextLives(clock_offset_ns)


def census_writer(as_json: bool, rows: int, *, watching: bool) -> CensusWriter:
    """Return the writer of a census. It shows at most ``rows`` groups (0: all); ``watching``: it writes repeatedly."""
    if as_json:
        from tracer.reports.json.writers import JsonCensus

        return JsonCensus(watching)
    from tracer.reports.text.writers import TextCensus

    return TextCensus(rows, watching)

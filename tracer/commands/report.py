"""``closetrace report FILE...``: recorded reports as text, as one HTML page, or merged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional, Union

import click

from tracer.commands import files
from tracer.commands.options import DOCS, all_frames_option
from tracer.commands.output import recorded
from tracer.errors import ClosetraceError, UsageError
from tracer.reports.text import terminal
from tracer.reports.text.progress import Progress

if TYPE_CHECKING:
    from tracer.model.finding import Report
    from tracer.model.merged import Merged


@click.command("report", epilog=DOCS, short_help="Print recorded reports, or many as one.")
@click.option("--json", "form", flag_value="json", help="Print JSON: of one file as it is, of several merged.")
@click.option("--html", "form", flag_value="html", help="Print one HTML page that needs nothing else.")
@click.option("--pprof", "form", flag_value="pprof", help="Print a profile for go tool pprof: sockets by stack.")
@click.option("-o", "--output", metavar="FILE", default="-", help="Write to FILE.  [default: stdout]")
@all_frames_option
@click.argument("names", metavar="FILE...", nargs=-1, required=True)
def report(form: Optional[str], output: str, all_frames: bool, names: tuple[str, ...]) -> None:
    """Read what closetrace --json wrote, and print it as text, as JSON or as an HTML page.

    Of one file the text is that which the trace printed. Several files, of other hosts or other hours, become one:
    sites with the same id are one site, with its sockets, hosts, and when it was first and last seen. FILE may be - for
    stdin.

    A file that is no report is told on stderr with the reason, and the exit code is 1; the others are still printed.

    \b
    closetrace report demo.json                    what demo --json wrote
    closetrace report --html -o x.html demo.json   to look at in a browser
    closetrace report web-1.json web-2.json        two hosts as one
    """  # noqa: D301, click reads the backspace
    left_out: list[str] = []
    found: Union[Report, Merged] = _one(names[0]) if len(names) == 1 else _several(names, left_out)
    to_terminal = output == "-"
    width, color = (terminal.width(), terminal.color()) if to_terminal else (_FILE_WIDTH, False)
    files.write(output, recorded(found, form or "text", all_frames, width=width, color=color))
    if left_out:
        raise ClosetraceError(f"{len(left_out)} of {len(names)} files were left out")


_FILE_WIDTH = 100


def _one(name: str) -> Report:
    from tracer.reports.json.reading.report import from_text

    content = files.read(name)
    try:
        return from_text(content)
    except ClosetraceError as error:
        raise ClosetraceError(f"{name}: {error}") from None


def _several(names: tuple[str, ...], left_out: list[str]) -> Merged:
    from tracer.reports.json.reading.merging import Merging
    from tracer.reports.json.reading.report import document

    if len(set(names)) < len(names):
        raise UsageError("a file is named twice")
    merging = Merging()
    with Progress("reading reports", len(names)) as progress:
        for done, name in enumerate(names):
            progress.at(done)
            try:
                content = files.read(name)
            except ClosetraceError as error:
                left_out.append(str(error))
                continue
            try:
                merging.add(document(content), name)
            except ClosetraceError as error:
                left_out.append(f"{name}: {error}")
    for line in left_out:
        terminal.say(f"left out: {line}")
    if len(left_out) == len(names):
        raise ClosetraceError("no file is a report")
    return merging.merged()

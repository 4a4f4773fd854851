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

    Of one file the text is that which the trace printed; stderr tells its host and time. Several files, of other hosts
    or other hours, become one: sites with the same id are one site, with its sockets, hosts, and when it was first and
    last seen. FILE may be - for stdin.

    A file that is no report is told on stderr with the reason, and the exit code is 1; the others are still printed.

    \b
    closetrace report demo.json                    what demo --json wrote
    closetrace report --html -o x.html demo.json   to look at in a browser
    closetrace report web-1.json web-2.json        two hosts as one
    """  # noqa: D301, click reads the backspace
    left_out: dict[str, str] = {}
    found: Union[Report, Merged] = (
        _one(names[0], is_text=form is None) if len(names) == 1 else _several(names, left_out)
    )
    to_terminal = output == "-"
    width, color = (terminal.width(), terminal.color()) if to_terminal else (_FILE_WIDTH, False)
    files.write(output, recorded(found, form or "text", all_frames, width=width, color=color))
    if left_out:
        raise ClosetraceError(f"{len(left_out)} of {len(names)} files were left out")


_FILE_WIDTH = 100


def _one(name: str, *, is_text: bool) -> Report:
    """Read one report. Its text does not say of which host and time it is: that is told beside it."""
    from tracer.reports.json.reading.report import from_text
    from tracer.reports.times import rfc3339_second

    content = files.read(name)
    try:
        found = from_text(content)
    except ClosetraceError as error:
        raise ClosetraceError(f"{name}: {error}") from None
    if is_text:
        began, ended = (rfc3339_second(int(at)).replace("T", " ") for at in (found.started, found.ended))
        terminal.say(f"recorded on {found.host.hostname} from {began} to {ended} UTC; that end is its now")
    return found


def _several(names: tuple[str, ...], left_out: dict[str, str]) -> Merged:
    """Merge what can be read; ``left_out`` gets the other files, with what is wrong."""
    from tracer.reports.json.reading.merging import BadSites

    if len(set(names)) < len(names):
        raise UsageError("a file is named twice")
    read = _Reader()
    found: Optional[Merged] = None
    while found is None and len(left_out) < len(names):
        try:
            found = _merged([name for name in names if name not in left_out], left_out, read)
        except BadSites as bad:
            left_out.update(bad.files)
    for name, reason in left_out.items():
        terminal.say(f"left out: {name}: {reason}")
    if found is None or len(left_out) == len(names):
        raise ClosetraceError("no file is a report")
    return found


class _Reader:
    """Reads files, perhaps again. Stdin can be read only once."""

    def __init__(self) -> None:
        self._stdin: Optional[bytes] = None

    def content(self, name: str) -> bytes:
        """As ``files.read``."""
        if name != "-":
            return files.read(name)
        if self._stdin is None:
            self._stdin = files.read(name)
        return self._stdin


def _merged(names: list[str], left_out: dict[str, str], read: _Reader) -> Merged:
    """Merge ``names``. Raises BadSites."""
    from tracer.reports.json.reading.merging import Merging
    from tracer.reports.json.reading.report import document

    merging = Merging()
    for name in Progress().each("reading reports", names):
        try:
            merging.add(document(read.content(name)), name)
        except ClosetraceError as error:
            left_out[name] = str(error).removeprefix(f"{name}: ")
    return merging.merged()

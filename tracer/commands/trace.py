"""Attach, follow, report. The default command, `run` and `demo` do this."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Callable, Optional

from tracer.commands.output import report_writer
from tracer.diagnose import words
from tracer.errors import LingerExceeded
from tracer.host.processes import comm_of
from tracer.reports.text import terminal
from tracer.session.request import Request
from tracer.session.session import Session
from tracer.session.stopping import Stop
from tracer.trail import Took, Trail

if TYPE_CHECKING:
    from tracer.model.finding import Report, Tick
    from tracer.reports.writers import ReportWriter

_log = Trail(__name__)

_MINUTE_NS = 60_000_000_000


@dataclass(frozen=True)
class Output:
    """How the report is written, and how many lingering sockets ``--fail-over`` allows (None: any number).

    ``counts_ended``: a socket that lingered counts there, whoever closed it in the end; else only those still open do.
    ``alone``: the traced command does not write to the same terminal.
    """

    as_json: bool = False
    all_frames: bool = False
    fail_over: Optional[int] = None
    counts_ended: bool = False
    alone: bool = True


def trace(request: Request, output: Output, stop: Stop, attached: Optional[Callable[[], None]] = None) -> None:
    """Trace until ``stop`` is over. Print sites when they are found, and the report at the end.

    ``attached`` is called when recording has begun. Raises HostUnsupported, LingerExceeded, and BrokenPipeError if
    nobody reads stdout any more.
    """
    with Session(request) as session:
        session.prepare(stop)
        _announce(request, session)
        if attached is not None:
            attached()
        writer = report_writer(output.as_json, output.all_frames, alone=output.alone)
        closed = _follow(session, stop, writer)
        report = session.report()
        closed = _write_unless_closed(writer, report) or closed
        if output.counts_ended:
            _tell_who_goes_on(request, session)
    count = report.lingered if output.counts_ended else report.lingering
    check_fail_over(count, output.fail_over)
    if closed is not None:
        raise closed


def _follow(session: Session, stop: Stop, writer: ReportWriter) -> Optional[BrokenPipeError]:
    """Follow until ``stop`` is over, with a report whenever one is asked for (SIGUSR1)."""
    closed: Optional[BrokenPipeError] = None

    def tick(brought: Tick) -> None:
        nonlocal closed
        writer.tick(brought)
        if stop.take_request():
            closed = _write_unless_closed(writer, session.report()) or closed

    session.follow(stop, tick)
    return closed


def check_fail_over(count: int, most: Optional[int]) -> None:
    """Raises LingerExceeded if more than ``most`` lingered (None: any number may)."""
    if most is not None and count > most:
        raise LingerExceeded(f"{count} sockets lingered in CLOSE_WAIT; --fail-over allows {most}")


def _write_unless_closed(writer: ReportWriter, report: Report) -> Optional[BrokenPipeError]:
    """Write the report. Return a BrokenPipeError, because --fail-over is decided first."""
    took = Took()
    try:
        writer.report(report)
    except BrokenPipeError as gone:
        return gone
    _log.debug("report: printed in %s", took)
    return None


def _tell_who_goes_on(request: Request, session: Session) -> None:
    """A daemon outlives the command that started it, and what it leaves behind from now on is not seen."""
    living = session.members() or frozenset()
    if not living or not living.isdisjoint(request.scope.pids):
        return  # the command itself still runs: it is ended with the trace
    names = words.listed(f"{comm_of(pid)} (pid {pid})" for pid in sorted(living))
    one = len(living) == 1
    terminal.say(
        f"the command has ended, and the trace with it; {words.plural(len(living), 'process', 'processes')} that it"
        f" started {'goes on' if one else 'go on'}, not traced any more: {names}"
    )


def _announce(request: Request, session: Session) -> None:
    probes, linger_ns = session.probes(), request.wanted.linger_ns
    linger = f"{linger_ns / 1e9:g} s"
    if linger_ns >= _MINUTE_NS:
        from tracer.diagnose import words

        linger = words.duration(linger_ns)
    hooked = sum(1 for probe in probes if probe.way is not None)
    terminal.say(
        f"tracing {request.target}: {hooked} of {len(probes)} hook families, threshold {linger}. "
        "Ctrl-C ends with the report."
    )

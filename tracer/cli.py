"""The command line. Only here an error becomes a line on stderr and an exit code."""

from __future__ import annotations

import errno
import importlib
import io
import os
import signal
import sys
from typing import Any, Optional, TextIO, cast

import click

from tracer import __version__, earliest
from tracer.commands.ask import ask, asks_how
from tracer.commands.options import (
    DOCS,
    all_frames_option,
    asking,
    children_option,
    describe,
    duration_option,
    fail_over_option,
    filters,
    interval_option,
    lineage_option,
    linger_option,
    make_scope,
    make_sizes,
    max_overhead_option,
    tuning,
    verbose_option,
)
from tracer.commands.targets import warn_of_absent
from tracer.commands.trace import Output, check_fail_over, trace
from tracer.errors import MORE_FILES, ClosetraceError, UsageError
from tracer.kernel.source import Wanted
from tracer.reports.printable import clean
from tracer.reports.text import terminal
from tracer.reports.text.progress import Progress
from tracer.session.request import Request
from tracer.session.stopping import Stop

EPILOG = """\b
Examples:
  sudo closetrace 1234                   which code leaves sockets open?
  sudo closetrace -p 1234 --linger 5m    only those older than 5 minutes
  sudo closetrace --comm nginx --json    as JSON, for a script
  sudo closetrace run --fail-over 0 -- ./load-test
  closetrace census                      who has how many, in which state
  closetrace doctor                      what works here, and what is missing

\b
Exit codes: 0 ended normally, 2 usage, 3 more sockets lingered than
--fail-over allows, 4 this host cannot be traced (the reason is printed; also
where doctor finds it not ready), 130 Ctrl-C where there is no report (census,
report, doctor), 1 anything else.
"""


_SUBCOMMANDS = ("agent", "census", "demo", "doctor", "report", "run", "tail", "timeline", "top")
_WITH_REPORT = ("agent", "demo", "run", "tail", "timeline", "top")
"""These handle signals themselves (session/stopping.py)."""


class _Subcommands(click.Group):
    """Imports a subcommand only when it is used, so that the others start faster."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """All names, as in the help."""
        return list(_SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> Optional[click.Command]:  # noqa: ARG002
        """Return the command in the module tracer.commands.NAME, None if there is none."""
        if cmd_name not in _SUBCOMMANDS:
            return None
        if cmd_name not in _WITH_REPORT:
            earliest.release()
        module = importlib.import_module(f"tracer.commands.{cmd_name}")
        return cast(click.Command, getattr(module, cmd_name))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read ``closetrace 1234`` as ``closetrace --pid 1234``. No subcommand has a number for a name."""
        pids: list[str] = []
        rest = self._words(ctx, args)
        while rest and rest[0].isascii() and rest[0].isdigit():
            pids += ["--pid", rest[0]]
            args = args[: len(args) - len(rest)] + rest[1:]
            rest = self._words(ctx, args)
        return super().parse_args(ctx, pids + args)

    def _words(self, ctx: click.Context, args: list[str]) -> list[str]:
        """What follows the options of the group itself: the end of ``args``, from the first word that is none."""
        return self.make_parser(ctx).parse_args(list(args))[1]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[Optional[str], Optional[click.Command], list[str]]:
        """Find the subcommand. What is neither one nor a process is a usage error that names both."""
        word = args[0]
        if word not in _SUBCOMMANDS and not word.startswith("-") and not ctx.resilient_parsing:
            ctx.fail(f"{word!r} is neither a command ({', '.join(_SUBCOMMANDS)}) nor the number of a process")
        return super().resolve_command(ctx, args)


@click.group(
    cls=_Subcommands,
    invoke_without_command=True,
    subcommand_metavar="[PID... | COMMAND ...]",
    epilog=f"{EPILOG}\n{DOCS}",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@filters
@children_option
@linger_option
@duration_option
@interval_option
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON, at the end.")
@all_frames_option
@fail_over_option
@max_overhead_option
@lineage_option
@click.option("--debuginfod", is_flag=True, help="Fetch debug information from the servers in DEBUGINFOD_URLS.")
@tuning
@asking
@verbose_option
@click.version_option(__version__, "-V", "--version", prog_name="closetrace")
@click.pass_context
def main_group(
    ctx: click.Context,
    /,
    linger: float,
    duration: Optional[float],
    interval: float,
    as_json: bool,
    all_frames: bool,
    fail_over: Optional[int],
    max_overhead: Optional[float],
    lineage: Optional[bool],
    debuginfod: bool,
    stack_bytes: int,
    memory_mb: Optional[int],
    probes: str,
    fresh: bool,
    agent_socket: str,
    **chosen: Any,
) -> None:
    """Name the code that leaves TCP sockets in CLOSE_WAIT.

    Watches sockets from inside the kernel. Reports those that stay open after the peer hung up, grouped by the code
    that used them last, and says what to change. Nothing is restarted. Without a filter it watches the whole host. A
    number is a process: closetrace 1234 is closetrace --pid 1234. Where an agent runs (closetrace agent), the report
    comes at once from its records.

    Ctrl-C (or SIGTERM, SIGHUP, SIGQUIT) ends it with the report. SIGUSR1 prints a report, and the trace goes on.
    """
    if ctx.invoked_subcommand is not None:
        given = [p for p in ctx.params if ctx.get_parameter_source(p) is click.core.ParameterSource.COMMANDLINE]
        if given:
            name = ctx.invoked_subcommand
            raise UsageError(f"put the options of {name} after its name: closetrace {name} [options]")
        return
    scope = make_scope(**chosen)
    if not fresh and not asks_how(ctx):
        lingering = ask(agent_socket, scope, linger, as_json=as_json, all_frames=all_frames)
        if lingering is not None:
            check_fail_over(lingering, fail_over)
            return
    request = Request(
        scope=scope,
        target=clean(describe(scope)),
        sizes=make_sizes(stack_bytes, memory_mb),
        wanted=Wanted(int(linger * 1e9), guarded=max_overhead is not None),
        probes=probes,
        interval_s=interval,
        max_overhead=max_overhead,
        debuginfod=debuginfod,
        lineage=lineage,
        underway=Progress(),
    )
    warn_of_absent(scope)
    trace(request, Output(as_json, all_frames, fail_over), Stop(duration, scope.pids))


_INTERRUPTED = 128 + signal.SIGINT


def _fail(message: str, code: int) -> int:
    terminal.say(f"closetrace: {message}")
    return code


def _to_devnull(stream: TextIO) -> None:
    """Send it to /dev/null. Its reader has gone, or its disk is full: what is buffered must not raise at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def run_command(arguments: Optional[list[str]] = None) -> int:
    """Run one command line and return the exit code."""
    try:
        result = main_group.main(args=arguments, prog_name="closetrace", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except ClosetraceError as error:
        return _fail(str(error), error.exit_code)
    except click.UsageError as error:
        hint = f" (see {error.ctx.command_path} --help)" if error.ctx is not None else ""
        return _fail(f"{error.format_message()}{hint}", 2)
    except click.ClickException as error:
        return _fail(error.format_message(), 1)
    except (BrokenPipeError, SystemExit):  # click raises SystemExit only when a pipe is closed
        _to_devnull(sys.stdout)
        return 0
    except (KeyboardInterrupt, click.Abort):  # of a command that has no report: what it has written is not whole
        return _INTERRUPTED
    except MemoryError:
        return _fail("out of memory", 1)
    except OSError as error:
        if error.errno == errno.EMFILE:
            return _fail(MORE_FILES, 1)
        what = error.filename or ("the output" if error.errno == errno.ENOSPC else "the system")
        return _fail(f"{what}: {error.strerror or error}", 1)


def _prepare_streams() -> None:
    """Open descriptors 0 to 2, so that no other file gets one. Escape characters that the locale cannot encode."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_RDWR), number)  # the lowest free number is this one
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def main() -> None:
    """Entry point of the closetrace command."""
    _prepare_streams()
    code = run_command()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # already reported. Python would report it again at exit, with exit code 120
            _to_devnull(stream)
    sys.exit(code)

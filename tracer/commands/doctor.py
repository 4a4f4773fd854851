"""``closetrace doctor``: what this host offers, which hooks are used, and what to do about the rest."""

from __future__ import annotations

import json
import os
import shutil
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

import click
from tabulate import tabulate

from tracer.commands.options import DOCS, describe, filters, make_scope, make_sizes, tuning, verbose_option
from tracer.errors import ClosetraceError, HostUnsupported, UsageError
from tracer.host.identity import this_host
from tracer.kernel.bcclib import require_bcc
from tracer.kernel.features import BTF_PATH, Features
from tracer.kernel.headers import bpf_directory, installed_headers
from tracer.kernel.plan import WAYS, Plan, make_plan
from tracer.reports.text import terminal
from tracer.reports.text.cells import style, wrap
from tracer.session.dump import FOLLOWS_FORKS, VARIANTS, Folder, dump
from tracer.session.opening import look, require_rights
from tracer.session.request import Request

Check = tuple[str, bool, str]
"""What was checked, whether it is fine, and what was found or what to do."""


def _bcc() -> Check:
    try:
        bcc = require_bcc()
    except HostUnsupported as error:
        return "bcc", False, str(error)
    return "bcc", True, str(getattr(bcc, "__version__", "version unknown"))


def _libdw() -> Check:
    try:
        from tracer.stacks.walker import LocalWalker

        LocalWalker().close()
    except ClosetraceError as error:
        return "libdw", False, str(error)
    return "libdw", True, "unwinds and names native code"


def _jail() -> Check:
    """What reads the targets' files is to be kept from all else."""
    from tracer.stacks.jail.keeper import Keeper

    keeper = Keeper()
    try:
        missing = keeper.check()
    except ClosetraceError as error:
        return "confinement", os.geteuid() != 0, f"stacks are a single frame: {error}"
    finally:
        keeper.close()
    if missing:
        told = ", ".join(f"{part} ({why})" for part, why in missing.items())
        return "confinement", True, f"files of targets are read in a process that keeps {told}"
    return "confinement", True, "files of targets are read in a process of no rights"


def _rights() -> Check:
    try:
        require_rights()
    except ClosetraceError as error:
        return "rights", False, str(error)
    return "rights", True, "BPF programs may be loaded"


def _types() -> Check:
    if os.path.exists(BTF_PATH):
        return "kernel types", True, f"from {BTF_PATH}"
    headers = installed_headers()
    if headers is not None:
        return "kernel types", True, f"from the installed headers ({headers})"
    package = f"linux-headers-{os.uname().release}"
    return "kernel types", False, f"no {BTF_PATH}: install {package} (apt) or kernel-devel (dnf)"


def _memlock() -> Check:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    enough = hard == resource.RLIM_INFINITY or os.geteuid() == 0
    shown = "unlimited" if soft == resource.RLIM_INFINITY else f"{soft // 1024} KiB, raised by closetrace"
    return "memlock", enough, shown if enough else "ulimit -l unlimited (kernels before 5.11 count BPF maps)"


def _plan(probes: str) -> tuple[Optional[Plan], Optional[Features], str]:
    try:
        features = look()
        return make_plan(features, probes), features, ""
    except (ClosetraceError, OSError) as error:
        return None, None, str(error)


def examine(probes: str = "auto") -> dict[str, Any]:
    """Return all findings, as ``--json`` prints them. ``probes`` is one of WAYS."""
    checks = [_rights(), _bcc(), _libdw(), _jail(), _types(), _memlock()]
    plan, features, obstacle = _plan(probes)
    families = []
    for choice in plan.choices if plan is not None else ():
        probe = choice.probe()
        families.append(
            {
                "family": probe.family,
                "way": probe.way,
                "derived_from": choice.family.derived or None if probe.way is None else None,
                "reason": probe.reason or None,
                "cost": probe.cost or None,
            }
        )
    missing = [detail for _, fine, detail in checks if not fine] + ([obstacle] if plan is None else [])
    return {
        "schema": "closetrace.doctor/1",
        "host": vars(this_host()),
        "ready": not missing,
        "to_do": missing[0] if missing else None,
        "checks": [{"check": name, "ok": fine, "detail": detail} for name, fine, detail in checks],
        "families": families,
        "obstacle": obstacle or None,
        "refused": dict(features.refused) if features is not None else {},
        "sources": str(bpf_directory()),
    }


@click.command("doctor", epilog=DOCS)
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.option(
    "--dump",
    "directory",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Write the C text, the headers, the object code and the verifier's whole log of each program to DIR.",
)
@click.option(
    "--for",
    "variant",
    type=click.Choice(tuple(VARIANTS)),
    default="trace",
    help="With --dump: the command, or the option of a command, whose programs to write.  [default: trace]",
)
@filters
@tuning
@verbose_option
@click.pass_context
def doctor(
    ctx: click.Context,
    /,
    as_json: bool,
    directory: Optional[Path],
    variant: str,
    stack_bytes: int,
    memory_mb: Optional[int],
    probes: str,
    **chosen: Any,
) -> None:
    """Tell what this host offers and what it lacks.

    For each family of hooks it shows which way was chosen, why no better one, and what a report lacks without it. It
    works without root as far as possible. The preferred way is fentry, then kprobe, then tracepoint. Use --probes to
    try another way.

    The exit code is 0 if this host is ready for a trace, else 4; then the last line, on stderr, is what to do first.

    With --dump it also writes to DIR what closetrace would load into the kernel, and what the verifier says of it. Use
    this to find the cause of an error: give the filters of the trace that failed, and its command with --for. DIR must
    be empty or not exist. Nothing is attached. The exit code is 0 if the files could be written.

    \b
    sudo closetrace doctor                  is this host ready?
    sudo closetrace doctor --json           the same for a script
    sudo closetrace doctor --dump /tmp/d    what the kernel is given
    """  # noqa: D301, click reads the backspace
    if directory is None:
        _refuse_without_dump(ctx)
        found = examine(probes)
        _tell(found, as_json)
        if not found["ready"]:
            raise HostUnsupported(f"not ready: {found['to_do']}")
        return
    scope = make_scope(**chosen)
    if variant == FOLLOWS_FORKS:
        scope = replace(scope, pids=scope.pids or (os.getpid(),), follow_forks=True)
    request = Request(scope, describe(scope), make_sizes(stack_bytes, memory_mb), VARIANTS[variant], probes)
    folder = Folder(directory)
    found = examine(probes)
    missing = dump(folder, request, json.dumps(found, indent=2))
    _tell(found, as_json)
    terminal.say(f"{directory}: {len(folder.names)} files; contents.txt says what they are")
    for line in missing:
        terminal.say(line)


def _refuse_without_dump(ctx: click.Context) -> None:
    """Refuse filters and sizes without --dump: they change what is compiled, not what doctor finds."""
    for param in ctx.command.params:
        given = ctx.get_parameter_source(param.name or "") is click.core.ParameterSource.COMMANDLINE
        if given and param.name not in ("as_json", "probes", "verbose"):
            raise UsageError(f"{param.opts[-1]} goes with --dump DIR")


def _tell(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        _print(found)


def _print(found: dict[str, Any]) -> None:
    width = min(terminal.width(), shutil.get_terminal_size((100, 24)).columns)
    machine = found["host"]
    click.echo(f"{machine['hostname']}: kernel {machine['kernel']} on {machine['architecture']}\n")
    for check in found["checks"]:
        mark, color = (f"{'ok':7}", "green") if check["ok"] else ("MISSING", "red")
        first, *rest = wrap(check["detail"], width - _DETAIL_AT)
        click.echo(f"  {check['check']:12} {style(mark, terminal.color(), fg=color)} {first}")
        for line in rest:
            click.echo(f"{'':{_DETAIL_AT}}{line}")
    click.echo("")
    if found["obstacle"]:
        if found["obstacle"] != found["to_do"]:
            click.echo(f"closetrace cannot run here: {found['obstacle']}")
        return
    room = max(20, (width - 12) // 2)
    rows = [
        (
            family["family"],
            _breakable(family["way"]) or f"none ({family['derived_from'] or 'not available'})",
            family["cost"] or "",
        )
        for family in found["families"]
    ]
    fitted = [(name, textwrap.fill(way, room), textwrap.fill(cost, room)) for name, way, cost in rows]
    click.echo(tabulate(fitted, headers=("family", "hooks", "what a report lacks")))
    for way, reason in found["refused"].items():
        click.echo("\n" + "\n".join(wrap(f"no {way}: {reason}", width, rest="  ")))
    click.echo(f"\nways to choose from with --probes: {', '.join(WAYS)}")
    if found["ready"]:
        click.echo("ready to trace: sudo closetrace PID, or sudo closetrace for the whole host")


_DETAIL_AT = 23
"""The column of a check's detail."""


def _breakable(way: Optional[str]) -> Optional[str]:
    """Several hooks as a line that can be broken between them."""
    return way.replace("+", " + ") if way is not None else None

"""``closetrace agent``: records without end, and answers the commands of this host. Its options may stand in a file."""

from __future__ import annotations

import contextlib
from typing import Any, Optional

import click

from tracer.agent import CONFIG, SOCKET
from tracer.agent import settings as values
from tracer.commands.numbers import Number
from tracer.commands.options import (
    DOCS,
    children_option,
    describe,
    filters,
    linger_option,
    make_scope,
    make_sizes,
    tuning,
    verbose_option,
)
from tracer.commands.targets import warn_of_absent
from tracer.commands.times import TIME
from tracer.errors import ClosetraceError, UsageError
from tracer.kernel.source import Wanted
from tracer.reports.printable import clean
from tracer.reports.text import terminal
from tracer.session.naming import FROM_LOGS, check_pod_names
from tracer.session.request import Request

_MEMORY_MB = 32
_SECTIONS = {
    "agent": ("socket", "group", "linger", "interval", "max-overhead", "memory", "stack-bytes", "probes", "pod-names"),
    "filter": (
        *("pid", "comm", "local-port", "remote-port", "remote", "netns", "cgroup", "unit", "container", "children"),
    ),
    "publish": ("every", "metrics", "otlp"),
}


def _read_config(ctx: click.Context, param: click.Parameter, path: str) -> str:
    """Take what the file says as defaults of the options. Raises UsageError."""
    if not ctx.resilient_parsing:
        named = ctx.get_parameter_source(str(param.name)) is click.core.ParameterSource.COMMANDLINE
        ctx.default_map = _defaults(ctx, path, values.read_config(path, must_be=named))
    return path


def _defaults(ctx: click.Context, path: str, entries: list[values.Entry]) -> dict[str, Any]:
    options = {name: option for option in ctx.command.params for name in option.opts}
    found: dict[str, Any] = {}
    for section, key, text in entries:
        if section not in _SECTIONS:
            raise UsageError(f"{path}: there is no section [{section}], but {', '.join(_SECTIONS)}")
        if key not in _SECTIONS[section]:
            raise UsageError(f"{path}: [{section}] has no {key}, but {', '.join(_SECTIONS[section])}")
        if section == "filter" and not text:
            raise UsageError(f"{path}: [{section}] {key} has no value: give one, or take the line out")
        option = options[f"--{key}"]
        if text:
            value: Any = text.split() if option.multiple else text
            try:
                option.type_cast_value(ctx, value)
            except click.BadParameter as wrong:
                raise UsageError(f"{path}: [{section}] {key}: {wrong.message}") from None
            found[str(option.name)] = value
    return found


class _Again(click.Command):
    """Keeps its words, so that it can be read again with another configuration file."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep ``args``."""
        ctx.meta[__name__] = list(args)
        return super().parse_args(ctx, args)


@click.command("agent", cls=_Again, epilog=DOCS, short_help="Record always, and answer the commands of this host.")
@click.option(
    "--config",
    metavar="FILE",
    default=CONFIG,
    show_default=True,
    is_eager=True,
    callback=_read_config,
    expose_value=False,
    help="Read options from this file; those of the command line count more.",
)
@click.option(
    "--socket", "path", metavar="PATH", default=SOCKET, show_default=True, help="Where the agent can be asked."
)
@click.option("--group", metavar="NAME", default="", help="Who may ask it beside root.")
@filters
@children_option
@linger_option
@click.option(
    "--interval", type=TIME, default=1, show_default=True, help="Look at the sockets once in TIME: seconds, or 90s, 5m."
)
@click.option(
    "--max-overhead",
    metavar="PCT",
    type=Number(0.1, 100),
    default=1,
    show_default=True,
    help="Take fewer stacks while recording costs more than this percentage of one CPU.",
)
@click.option("--metrics", metavar="ADDRESS:PORT", default="", help="Serve Prometheus metrics there.")
@click.option("--otlp", metavar="URL", default="", help="Send metrics and log events there by OTLP.")
@click.option("--every", type=TIME, default=15, show_default=True, help="Publish a report once in TIME.")
@click.option(
    "--pod-names",
    metavar="logs|off|SOCKET",
    default=FROM_LOGS,
    show_default=True,
    help="Names of Kubernetes pods: from the kubelet's log folders, or also from a container runtime's socket.",
)
@tuning
@verbose_option
@click.pass_context
def agent(ctx: click.Context, /, **chosen: Any) -> None:
    """Record without end, as a service, and answer the commands of this host.

    While it runs, sudo closetrace --pid 1234 answers at once from its records, for sockets that leaked hours ago.
    SIGHUP has it read its configuration again, SIGTERM ends it. Without --memory it uses 32 MB of kernel memory.

    \b
    sudo closetrace agent                              the whole host
    sudo closetrace agent --metrics 127.0.0.1:9753     and Prometheus metrics
    systemctl enable --now closetrace-agent            as a service
    """  # noqa: D301, click reads the backspace
    from tracer.agent.service import Agent

    words: list[str] = ctx.meta[__name__]
    settings = _settings(**chosen)
    warn_of_absent(settings.request.scope)
    Agent(settings, lambda: _read_again(words), _say).run()


def _say(text: str) -> None:
    """A line to the log. Recording goes on where nobody reads that any more, as when the journal has restarted."""
    with contextlib.suppress(OSError):
        terminal.say(text)


def _read_again(words: list[str]) -> values.Settings:
    """The settings as they are now. Raises ClosetraceError."""
    try:
        with agent.make_context("agent", list(words)) as ctx:
            return _settings(**ctx.params)
    except click.UsageError as wrong:
        raise UsageError(wrong.format_message()) from None
    except click.exceptions.Exit:
        raise ClosetraceError("its options end it") from None


def _settings(
    path: str,
    group: str,
    linger: float,
    interval: float,
    max_overhead: Optional[float],
    metrics: str,
    otlp: str,
    every: float,
    stack_bytes: int,
    memory_mb: Optional[int],
    probes: str,
    pod_names: str,
    **chosen: Any,
) -> values.Settings:
    check_pod_names(pod_names)
    scope = make_scope(**chosen)
    request = Request(
        scope=scope,
        target=clean(describe(scope)),
        sizes=make_sizes(stack_bytes, memory_mb if memory_mb is not None else _MEMORY_MB),
        wanted=Wanted(int(linger * 1e9), guarded=max_overhead is not None),
        probes=probes,
        interval_s=interval,
        max_overhead=max_overhead,
        lineage=False,
        endless=True,
        pod_names=pod_names,
    )
    named = {name: chosen[name] or "" for name in ("unit", "container")}
    return values.Settings(request, path, group, every, metrics, otlp, **named)

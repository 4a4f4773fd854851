"""Writes docs/closetrace.1 from the click tree: ``python docs/make_man.py``.

It takes attributes alone, not the help text that click lays out, so that every release of click gives the same page.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Optional

import click

from tracer.cli import EPILOG, main_group

PAGE = Path(__file__).with_name("closetrace.1")


def _roff(text: str) -> str:
    """Text as roff takes it: backslashes, hyphens and leading dots are commands to it."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return "\n".join("\\&" + line if line.startswith((".", "'")) else line for line in escaped.split("\n"))


def _paragraphs(help_text: Optional[str]) -> list[str]:
    r"""A docstring's paragraphs; one that begins with ``\b`` keeps its lines."""
    lines = []
    for paragraph in inspect.cleandoc(help_text or "").split("\n\n"):
        if paragraph.startswith("\b"):
            body = paragraph.lstrip("\b").strip("\n")
            lines += [".PP", ".nf", _roff(body), ".fi"]
        else:
            lines += [".PP", _roff(" ".join(paragraph.split()))]
    return lines


def _value(option: click.Option) -> str:
    if option.is_flag or option.count:
        return ""
    if isinstance(option.type, click.Choice):
        return "|".join(str(choice) for choice in option.type.choices)
    return option.metavar or option.type.name.upper()


def _default(option: click.Option) -> str:
    if not option.show_default:
        return ""
    shown = f"{option.default:g}" if isinstance(option.default, (int, float)) else option.default
    return f" [default: {shown}]"


def _option(option: click.Option) -> list[str]:
    names = ", ".join(f"\\fB{_roff(name)}\\fR" for name in (*option.opts, *option.secondary_opts))
    value = _value(option)
    head = f"{names} \\fI{_roff(value)}\\fR" if value else names
    return [".TP", head, _roff(f"{option.help or ''}{_default(option)}")]


def _options(command: click.Command) -> list[str]:
    return [line for param in command.params if isinstance(param, click.Option) for line in _option(param)]


def _usage(name: str, command: click.Command) -> str:
    arguments = [f"\\fI{_roff(p.human_readable_name)}\\fR..." for p in command.params if isinstance(p, click.Argument)]
    return " ".join([f"\\fB{_roff(name)}\\fR", "[\\fIoptions\\fR]", *(["\\-\\-"] if arguments else []), *arguments])


def _subcommands() -> list[tuple[str, click.Command]]:
    context = click.Context(main_group)
    found = ((name, main_group.get_command(context, name)) for name in sorted(main_group.list_commands(context)))
    return [(name, command) for name, command in found if command is not None]


def page() -> str:
    """The man page of the whole command line."""
    lines = ['.TH CLOSETRACE 1 "" "closetrace" "User Commands"', ".SH NAME"]
    lines += ["closetrace \\- name the code that leaves TCP sockets in CLOSE_WAIT", ".SH SYNOPSIS"]
    lines += [f"{_usage('closetrace', main_group)} [\\fIPID\\fR...]"]
    for name, command in _subcommands():
        lines += [".br", _usage(f"closetrace {name}", command)]
    lines += [".SH DESCRIPTION", *_paragraphs(main_group.help), ".SH OPTIONS", *_options(main_group), ".SH COMMANDS"]
    for name, command in _subcommands():
        lines += [f".SS {_usage(f'closetrace {name}', command)}", *_paragraphs(command.help), *_options(command)]
    lines += [".SH EXAMPLES AND EXIT STATUS", *_paragraphs(EPILOG), ".SH ENVIRONMENT"]
    for variable, meaning in (
        ("NO_COLOR", "No colour, on a terminal either."),
        ("COLUMNS", "Width of the output where it is no terminal."),
        ("DEBUGINFOD_URLS", "Where --debuginfod fetches debug information from."),
    ):
        lines += [".TP", f"\\fB{variable}\\fR", _roff(meaning)]
    lines += [
        ".SH FILES",
        ".TP",
        "\\fI/var/cache/closetrace\\fR",
        _roff("Type declarations made from the kernel's BTF, and compiled BPF programs."),
    ]
    lines += [".SH SEE ALSO", "ss(8), proc(5), bpf(2), sock_diag(7)"]
    lines += [".PP", "In the source: README.md, and docs/verdicts.md, which says what each verdict means."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

"""What an agent does: the values of its command line and its configuration file together."""

from __future__ import annotations

import configparser
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from tracer.agent import SOCKET
from tracer.errors import UsageError
from tracer.session.request import Request


@dataclass(frozen=True)
class Settings:
    """``group`` may ask beside root (a name, "" for none). ``metrics`` and ``otlp`` are addresses, "" for none.

    A report is published every ``every_s`` seconds. ``unit`` or ``container`` is the name that the scope was made
    from, if it was.
    """

    request: Request
    socket: str = SOCKET
    group: str = ""
    every_s: float = 15.0
    metrics: str = ""
    otlp: str = ""
    unit: str = ""
    container: str = ""

    def records_as(self, other: Settings) -> bool:
        """Whether the same is recorded in the same way, so that a session can go on."""
        return _recorded(self.request) == _recorded(other.request)


def _recorded(request: Request) -> tuple[Request, bool]:
    """A limit on the cost may change while it is kept, but what measures the cost is attached."""
    return replace(request, max_overhead=None, pod_names=""), request.max_overhead is None


class Entry(NamedTuple):
    """One line of a configuration file."""

    section: str
    key: str
    value: str


def read_config(path: str, *, must_be: bool) -> list[Entry]:
    """The entries of a configuration file; none if it is not there, unless it ``must_be``. Raises UsageError."""
    parser = configparser.ConfigParser(interpolation=None, inline_comment_prefixes=("#", ";"), default_section="\0")
    try:
        with open(path, encoding="utf-8") as file:
            parser.read_file(file)
    except FileNotFoundError:
        if must_be:
            raise UsageError(f"there is no file {path}") from None
        return []
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is no text in UTF-8") from None
    except configparser.Error as error:
        raise UsageError(f"{path}, {_mistake(error)}") from None
    return list(_entries(parser))


def _mistake(error: configparser.Error) -> str:
    """The line and what is wrong there: configparser's own words are for programmers."""
    if isinstance(error, configparser.MissingSectionHeaderError):
        return f"line {error.lineno}: {error.line.strip()!r} stands before the first [section]"
    if isinstance(error, configparser.DuplicateOptionError):
        return f"line {error.lineno}: [{error.section}] has {error.option} twice (several values stand in one line)"
    if isinstance(error, configparser.DuplicateSectionError):
        return f"line {error.lineno}: there is a second [{error.section}]"
    if isinstance(error, configparser.ParsingError) and error.errors:
        number, _line = error.errors[0]
        return f"line {number}: that is neither [section] nor key = value"
    return " ".join(str(error).split())


def _entries(parser: configparser.ConfigParser) -> Iterator[Entry]:
    for section in parser.sections():
        for key, value in parser.items(section):
            yield Entry(section, key, value.strip())

"""What to change so that idle connections do not outlive the peer's patience, and how the library at work is set so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

from tracer.diagnose import words
from tracer.diagnose.library import Library, Setting

_MILLISECOND = 1_000_000
_MOST = 2
"""Libraries that are told of although nobody knows which of them is at work."""


def advice(library: Optional[Library], quiet_ns: Optional[int], is_released: bool = True) -> tuple[str, ...]:
    """Sentences on a connection that lay idle when the peer hung up, after ``quiet_ns`` of silence if that is known.

    ``is_released`` is False where it seems that it was not given back, and how that is done has been said already.
    """
    told = idle_advice(library, quiet_ns)
    if is_released:
        return (*told, *_how_to_release(library))
    if library is not None and library.notices:
        return told
    return (f"If they are meant to lie idle: {told[0][0].lower()}{told[0][1:]}", *told[1:])


def _how_to_release(library: Optional[Library]) -> tuple[str, ...]:
    if library is None or not library.release or library.idle_says_all:
        return ()
    return (given_back(library) if library.notices else _not_in_the_pool(library),)


def idle_advice(library: Optional[Library], quiet_ns: Optional[int]) -> tuple[str, ...]:
    """The same where the pool itself says that it has them idle: they were given back."""
    if library is None or not (library.notices or library.setting or library.idle):
        return (_in_general(quiet_ns),)
    sentences = []
    if library.notices:
        sentences.append(
            f"In {library.name} an idle connection is closed when the peer hangs up; what stays is {library.notices}."
        )
    if library.setting and not library.notices:
        sentences += _limited(library, library.setting, quiet_ns)
    elif library.setting:
        sentences += _written(library, library.setting, quiet_ns)
    if library.idle:
        sentences.append(f"Close idle connections before the peer does{_waits(quiet_ns)}.")
        sentences.append(f"In {library.name}: {library.idle}.")
    return tuple(sentences)


def perhaps(libraries: Sequence[Library], them: str) -> tuple[str, ...]:
    """What to do if one of ``libraries`` opened the sockets: they are installed for a program without names."""
    named = [one for one in libraries if one.idle or one.release][:_MOST]
    return tuple(
        f"If {library.name} (installed for this program) opened {them}: {_whole(library)}." for library in named
    )


def _whole(library: Library) -> str:
    apart = library.release and not library.idle_says_all
    release = f"a connection is given back by {library.release}" if apart else ""
    return "; ".join(part for part in (library.idle, release) if part)


def given_back(library: Library) -> str:
    """How a program gives a connection of the library back."""
    return f"In {library.name} a connection is given back by {library.release}."


def _not_in_the_pool(library: Library) -> str:
    if not library.pools and not library.prefills:
        return given_back(library)
    how = f"in {library.name} that is done by {library.release}"
    return f"No limit reaches a connection that was not given back: {how}."


def _in_general(quiet_ns: Optional[int]) -> str:
    value = Setting("").value_ms(quiet_ns) if quiet_ns is not None else None
    would_do = f"; a limit of {words.duration(value * _MILLISECOND)} would do" if value is not None else ""
    return (
        f"Let the pool close idle connections before the peer does{_waits(quiet_ns, would_do)}; a one-off sweep is not"
        " enough."
    )


def _waits(quiet_ns: Optional[int], besides: str = "") -> str:
    return f" (it waits {words.silence(quiet_ns)}{besides})" if quiet_ns is not None else ""


def _limited(library: Library, setting: Setting, quiet_ns: Optional[int]) -> list[str]:
    if quiet_ns is not None and setting.value_ms(quiet_ns) is None:
        least = words.duration(setting.least_ms * _MILLISECOND)
        return [
            f"The peer waits only {words.silence(quiet_ns)}, and {library.name} takes no limit below {least} ("
            f"{setting.text.format('...')}): raise the peer's limit well above {least}, and set the library's below it."
        ]
    before = (
        f"Let the pool close idle connections before the peer does{_waits(quiet_ns)}; a one-off sweep is not enough."
    )
    return [before, *_written(library, setting, quiet_ns)]


def _written(library: Library, setting: Setting, quiet_ns: Optional[int]) -> list[str]:
    value = setting.value_ms(quiet_ns) if quiet_ns is not None else None
    if value is not None:
        return [f"In {library.name}: {setting.text.format(value)}."]
    least = f", at least {setting.least_ms}" if setting.least_ms > 1 else ""
    return [f"In {library.name}: {setting.text.format('N')}, with N milliseconds below the peer's limit{least}."]

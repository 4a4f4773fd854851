"""Runtimes that run functions without a name for them: what the rooms of such languages have in common."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, replace
from re import Pattern
from typing import TYPE_CHECKING, Callable, Optional

from tracer.stacks.language import Language, Part, Runtime, Target

if TYPE_CHECKING:
    from tracer.model.frame import Frame


@dataclass(frozen=True)
class Silent:
    """One such runtime.

    ``title`` is what reports call it. ``files`` are the base names of its program and its libraries, whole.
    ``extensions`` are the paths of compiled modules that its packages install, searched for: they belong to it, too.
    ``unnamed`` is one line of text. It says that functions have no names, and what gives them names.
    """

    title: str
    files: Pattern[str]
    unnamed: str
    extensions: Optional[Pattern[str]] = None

    def has(self, frame: Frame) -> bool:
        """Whether a frame of compiled code is in its program or its libraries."""
        return self.files.fullmatch(frame.module or "") is not None

    def is_extension(self, path: str) -> bool:
        """Whether the file at ``path`` is a compiled module of one of its packages."""
        return self.extensions is not None and self.extensions.search(path) is not None

    def runs_in(self, target: Target) -> bool:
        """Whether its code is mapped into the process."""
        mappings = target.process.mappings
        return any(m.executable and self.files.fullmatch(posixpath.basename(m.path)) for m in mappings)


def runtime_of(silents: tuple[Silent, ...], target: Target) -> Optional[Runtime]:
    """The first of ``silents`` that is in a process, with its line for stacks that have no names; None if none is."""
    found = next((silent for silent in silents if silent.runs_in(target)), None)
    return Runtime(unnamed=found.unnamed, interprets=found.has) if found is not None else None


def described(
    language: Language, *silents: Silent, attach: Optional[Callable[[Target], Optional[Runtime]]] = None
) -> Language:
    """``language`` with all that follows from what ``silents`` say. What it has of its own is asked first.

    ``attach`` takes the place of :func:`runtime_of`.
    """

    def package(frame: Frame) -> str:
        own = language.package(frame)
        return own or next((silent.title for silent in silents if silent.has(frame)), "")

    def part(frame: Frame) -> Part:
        own = language.part(frame)
        interprets = own is Part.OTHER and any(silent.has(frame) for silent in silents)
        return Part.INTERPRETER if interprets else own

    return replace(
        language,
        attach=attach or (lambda target: runtime_of(silents, target)),
        runtime_module=lambda module: any(silent.files.fullmatch(module) is not None for silent in silents),
        extension=lambda path: any(silent.is_extension(path) for silent in silents),
        package=package,
        part=part,
    )

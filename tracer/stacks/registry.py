"""All languages, one line each. No other place in closetrace lists them."""

from __future__ import annotations

import codecs
import re
from collections.abc import Collection
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:
    from tracer.model.frame import Frame
    from tracer.stacks.language import Language, LookAtHeap, Part
    from tracer.stacks.target.process import Process

_COMPILED = "native"
_HEAP = "heap"

MODULES = (
    "tracer.stacks.languages.java",
    "tracer.stacks.languages.go",
    "tracer.stacks.languages.rust",
    "tracer.stacks.languages.cxx",
    "tracer.stacks.languages.scripts",
    "tracer.stacks.languages.cpython",
    "tracer.stacks.languages.node",
    "tracer.stacks.languages.ruby",
    "tracer.stacks.languages.php",
    "tracer.stacks.languages.erlang",
    "tracer.stacks.languages.dotnet",
    "tracer.stacks.languages.perfmap",
)
"""In the order in which they are asked. Rust is before C++ because older Rust compilers use the mangling of C++.

PyPy is among the scripts, before CPython, which has modules of the same names. Perf maps are last because any language
may write one.
"""

_CODECS = ("utf-16-le", "utf-32-le", "punycode")
"""Encodings by whose names languages decode, and whose modules Python imports at their first use."""

_INTERPRETERS = re.compile(r"(python|node|ruby)[^/]*$", re.IGNORECASE)
"""Names of languages. Each is in the name of some file that a process with its interpreter has mapped: the program,
its library, or an extension.
"""


def may_interpret(process: Process) -> frozenset[str]:
    """Languages whose interpreter ``process`` may have, and whose frames the kernel side tells. Imports none."""
    return frozenset().union(*(interprets(mapping.path) for mapping in process.mappings))


def interprets(path: str) -> frozenset[str]:
    """Languages whose interpreter the file at ``path`` may be, by its name."""
    match = _INTERPRETERS.search(path)
    return frozenset((match.group(1).lower(),)) if match is not None else frozenset()


@lru_cache(maxsize=1)
def all_languages() -> tuple[Language, ...]:
    """All languages, in the order in which they are asked. The first call imports them; it comes after attaching."""
    from tracer.stacks.language import Language

    languages = tuple(import_module(module).LANGUAGE for module in MODULES)
    assert all(isinstance(language, Language) for language in languages)
    return languages


def prepare() -> None:
    """Import all that languages import when they are first needed: to be called where that will not be possible."""
    import pkgutil

    for language in MODULES:
        package = import_module(language)
        for module in pkgutil.iter_modules(package.__path__, f"{language}."):
            import_module(module.name)
    for encoding in _CODECS:
        codecs.lookup(encoding)


def prepare_heaps() -> None:
    """Import all that looks at heaps, where that will not be possible later. Raises ImportError without numpy."""
    import pkgutil

    for language in MODULES:
        for found in pkgutil.iter_modules(import_module(language).__path__):
            if found.name == _HEAP and found.ispkg:
                inner = import_module(f"{language}.{_HEAP}")
                for module in pkgutil.iter_modules(inner.__path__, f"{inner.__name__}."):
                    import_module(module.name)


def heap_of(process: Process) -> Optional[LookAtHeap]:
    """What looks at the heap of a process; None if no language knows its heap."""
    found = (known.heap(process) for known in all_languages())
    return next((look for look in found if look is not None), None)


@lru_cache(maxsize=64)
def language(name: str) -> Language:
    """The language with the name ``name`` in frames. If there is none, an empty language with this name."""
    from tracer.stacks.language import Language

    return next((known for known in all_languages() if known.name == name), Language(name))


def is_runtime(module: str) -> bool:
    """Whether a file with this base name is a runtime or a standard library, asked of all languages."""
    return any(known.runtime_module(module) for known in all_languages())


def installed(pid: int, names: Collection[str]) -> tuple[str, ...]:
    """Which of these packages process ``pid`` could import, asked of all languages."""
    return tuple(name for known in all_languages() for name in known.installed(pid, names))


def package_of(frame: Frame) -> str:
    """The package of other people's code that a frame belongs to; empty if no language knows one."""
    return next((package for known in _asked(frame) if (package := known.package(frame))), "")


def part_of(frame: Frame) -> Part:
    """What a frame does for the program if it is not the program's own."""
    from tracer.stacks.language import Part

    return next((part for known in _asked(frame) if (part := known.part(frame)) is not Part.OTHER), Part.OTHER)


def lasting_name(frame: Frame) -> str:
    """What a frame's function is called in every run and every build of the program; empty if it has no name."""
    name = frame.function or ""
    for known in _asked(frame):
        name = known.lasting_name(name)
    return name


def _asked(frame: Frame) -> tuple[Language, ...]:
    return all_languages() if frame.language == _COMPILED else (language(frame.language),)

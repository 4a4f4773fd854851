"""The contract of a language: all that closetrace knows of it. Each folder below ``languages/`` has one ``LANGUAGE``.

A language is a value of plain functions. It offers what it has and leaves out the rest. All functions are called with
what a traced program wrote, so none may raise. The modules of ``languages/*/__init__.py`` stay small: they are imported
together. What is large is imported by the functions, when a process or a file first needs it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Callable, Optional

if TYPE_CHECKING:  # reports read names only: they need not load what unwinds
    from tracer.model.frame import BlackBox, Frame
    from tracer.stacks.chain import Cursor, Unwinder
    from tracer.stacks.elf.additions import OpenTable
    from tracer.stacks.elf.facts import ElfFacts
    from tracer.stacks.target.process import Process


@dataclass(frozen=True)
class Symbol:
    """What a runtime's symbol for generated code says: the words of a perf map, taken apart.

    ``language`` is a :attr:`Language.name`. ``internal`` marks the runtime and its standard library.
    """

    function: str
    language: str
    file: Optional[str] = None
    line: Optional[int] = None
    internal: bool = False


@dataclass(frozen=True)
class Target:
    """A traced process, for :attr:`Language.attach`.

    ``native`` steps out of compiled code. A runtime whose interpreter is compiled code calls it, and puts its own
    frames in place of the interpreter's: those whose address lies between the stack pointers of callee and caller.
    ``read_symbol`` asks all languages what a symbol of generated code says; None if none knows it.
    """

    process: Process
    native: Unwinder
    read_symbol: Callable[[str], Optional[Symbol]]


@dataclass(frozen=True)
class Runtime:
    """A language in one process.

    ``unwinder`` steps out of code that the runtime generated, and names it. It is asked before all other links.
    ``name`` only names code that no file backs, by cursor and module name; the other links step out of it.
    ``begin`` is called with each black box before its walk. A stack that was recognised is not walked.
    ``unnamed`` is one line for code that no file backs and that nobody could name. It says what would help.
    """

    unwinder: Optional[Unwinder] = None
    name: Optional[Callable[[Cursor, str], Optional[tuple[Frame, ...]]]] = None
    begin: Optional[Callable[[BlackBox], None]] = None
    unnamed: str = ""


@dataclass(frozen=True)
class Language:
    """One language or runtime. ``name`` is what frames and JSON call it (:attr:`tracer.model.frame.Frame.language`)."""

    name: str

    # A process.
    attach: Callable[[Target], Optional[Runtime]] = lambda _target: None
    """Its runtime in this process; None while there is none. Asked again, until it is there, when the maps change."""

    read_symbol: Callable[[str], Optional[Symbol]] = lambda _symbol: None
    """What a perf map's symbol says; None if it is not this language's."""

    installed: Callable[[int, Collection[str]], tuple[str, ...]] = lambda _pid, _names: ()
    """Which of these packages process ``pid`` could import, where its functions may have no names."""

    # An ELF file.
    demangle: Callable[[str], Optional[str]] = lambda _symbol: None
    """The linker's symbol as people write it; None if it is not this language's."""

    open_table: OpenTable = lambda _descriptor, _facts: None
    """See :data:`tracer.stacks.elf.additions.OpenTable`."""

    owns: Optional[Callable[[ElfFacts, Optional[str]], bool]] = None
    """Whether a function (None: one without symbol) of such a file is this language's. Others are ``native``."""

    runtime_module: Callable[[str], bool] = lambda _module: False
    """Whether a file of this base name is the runtime or its standard library."""

    runtime_function: Callable[[str, ElfFacts], bool] = lambda _function, _facts: False
    """Whether a function inside a program's file is the runtime's or the standard library's.

    Asked for functions that the language owns; for those that nobody owns, all languages without ``owns`` are asked.
    """

    starts_stack: Callable[[str], bool] = lambda _function: False
    """Whether stacks of this runtime begin in this function, so that a walk that ends here is complete."""

    # A report.
    title: str = ""
    """How reports call the runtime with its standard library: ``the JDK``. If empty they give the frame's module."""

    package: Callable[[Frame], str] = lambda _frame: ""
    """The package of other people's code that a frame belongs to; empty for the program's own code."""

    short_name: Callable[[str], str] = str
    """A function's name without package and parameters."""

    changes_threads: bool = False
    """Whether its tasks move from thread to thread, so that the thread does not tell which of them made a call."""

    ends_tell: bool = False
    """Whether a name too long for its column is cut at the front, because what tells stands at its end."""

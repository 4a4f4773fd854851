"""The contract of a language: all that closetrace knows about it. Each folder in ``languages/`` has a ``LANGUAGE``.

A language is a set of plain functions. It gives those that it has and leaves out the others. Their arguments come from
a traced program, so they may hold anything, and no function may raise. The modules ``languages/*/__init__.py`` are all
imported together, so they stay small. A function imports a large module when a process or a file first needs it.
"""

from __future__ import annotations

import enum
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Callable, Optional

if TYPE_CHECKING:  # reports only read names, so they do not have to load the unwinders
    from collections.abc import Sequence

    from tracer.model.frame import BlackBox, Frame, Stack
    from tracer.model.holder import Held, Limits, SocketAt
    from tracer.stacks.chain import Cursor, Unwinder
    from tracer.stacks.elf.additions import OpenTable
    from tracer.stacks.elf.facts import ElfFacts
    from tracer.stacks.target.process import Process

ENTRY_BYTES = 15 * 8
"""The size of what a language tells its program in the kernel of a process: ``values`` of struct ct_interpreter."""

TLS = "TLS"
"""The package of all libraries that speak it, whatever their language."""


@dataclass(frozen=True)
class Symbol:
    """The parts of a symbol that a runtime gave to its generated code, in a perf map.

    ``language`` is a :attr:`Language.name`. ``internal`` is true for code of the runtime and its standard library.
    """

    function: str
    language: str
    file: Optional[str] = None
    line: Optional[int] = None
    internal: bool = False


@dataclass(frozen=True)
class Target:
    """A traced process, for :attr:`Language.attach`.

    ``native`` unwinds compiled code. A runtime whose interpreter is compiled code calls it, and replaces the
    interpreter's frames by its own: those whose address lies between the stack pointers of callee and caller.
    ``names`` names the code at a cursor without unwinding it, that of a file or another; nothing if there is no code.
    ``read_symbol`` asks all languages to read a symbol of generated code. It gives None if no language can.
    """

    process: Process
    native: Unwinder
    names: Callable[[Cursor], tuple[Frame, ...]]
    read_symbol: Callable[[str], Optional[Symbol]]


@dataclass(frozen=True)
class Finished:
    """A walked stack with a runtime's last word.

    Equal copies of touches from ``since_ns`` to ``until_ns`` (CLOCK_MONOTONIC) have the same stack; None: of all times.
    """

    stack: Stack
    since_ns: int = 0
    until_ns: Optional[int] = None


@dataclass(frozen=True)
class Runtime:
    """A language in one process.

    ``unwinder`` unwinds and names the code that the runtime generated. It is asked before all other links.
    ``name`` only gives names to code that no file backs, by cursor and module name. The other links unwind that code.
    ``begin`` is called with each black box before its walk, ``finish`` with the stack after it. There is no walk for a
    stack that the memo recognises.
    ``look`` is called when nothing has to be walked: what it reads tells later what was there before a touch.
    ``unnamed`` is one line of text for code that no file backs and that has no name. It says how to get the name.
    ``interprets`` tells the frames of an interpreter: it runs functions that have no frames of their own. The first one
    on a stack gets ``unnamed``, too, unless the stack has frames of this language.
    """

    unwinder: Optional[Unwinder] = None
    name: Optional[Callable[[Cursor, str], Optional[tuple[Frame, ...]]]] = None
    begin: Optional[Callable[[BlackBox], None]] = None
    finish: Optional[Callable[[Stack], Finished]] = None
    look: Optional[Callable[[], None]] = None
    unnamed: str = ""
    interprets: Optional[Callable[[Frame], bool]] = None


LookAtHeap = Callable[["Sequence[SocketAt]", "Limits"], "Held"]
"""Who holds these sockets, within these limits? Never raises."""


OfProgram = Callable[[str], bool]
"""Is this source file of the installed package that is the main program of the process? Never raises."""


class Part(enum.Enum):
    """What a frame that is not the program's own does for the program.

    LOOP calls the program whenever there is work: an event loop, a worker of a thread pool. IDLE waits for such work.
    INTERPRETER runs code of the program that has no frame of its own. MOVES begins work that may go on in another
    thread: what the thread does later has nothing to do with it. JOINS waits for other threads to end. SLEEPS lets time
    pass, where the system call is none that is named after that. RETRIES waits for a lock and tries again now and then,
    so that the thread runs though nothing has changed.
    """

    OTHER = "other"
    LOOP = "loop"
    IDLE = "idle"
    INTERPRETER = "interpreter"
    MOVES = "moves"
    JOINS = "joins"
    SLEEPS = "sleeps"
    RETRIES = "retries"


@dataclass(frozen=True)
class Language:
    """One language or runtime. ``name`` is what frames and JSON call it (:attr:`tracer.model.frame.Frame.language`)."""

    name: str

    # A process.
    attach: Callable[[Target], Optional[Runtime]] = lambda _target: None
    """Gives its runtime in this process, None if there is none yet. Then asked again when the maps change."""

    heap: Callable[[Process], Optional[LookAtHeap]] = lambda _process: None
    """Looks for the objects that hold sockets in this process; None if it has no heap of this language.

    Which process has one is asked in the root process, so it may take only the names of mappings. What looks is called
    in a worker that has imported the package ``heap`` of the language.
    """

    number: int = 0
    """What the kernel side calls it (struct ct_interpreter in bpf/maps.h); 0 if it tells no frames of it."""

    kernel_program: str = ""
    """The file in bpf/languages/ that tells the frames of its interpreter at a touch."""

    kernel_entry: Callable[[Target], Optional[bytes]] = lambda _target: None
    """What that program needs to know of a process: :data:`ENTRY_BYTES` bytes, None if it is not (yet) one of its own.

    The program reads only that process's memory, so wrong values can do no harm.
    """

    kernel_entry_of_all: Callable[[Target, bytes], Optional[tuple[int, bytes]]] = lambda _target, _values: None
    """What of ``kernel_entry`` holds for all processes of the same program file; None if nothing does.

    It begins with an address in the file that decides: that of the interpreter.
    """

    receives_in_loop: bool = False
    """Whether its runtime receives in an event loop, with no function of the program on the stack."""

    program: Callable[[Process], Optional[OfProgram]] = lambda _process: None
    """Tells the source files of the installed package that is the main program of this process.

    None if the program lies in no package, or if that is not known. Called in a worker, once for a process.
    """

    has_loop: Callable[[Process], bool] = lambda _process: False
    """The same of one process, where only some programs have such a loop. It may take only the names of mappings."""

    read_symbol: Callable[[str], Optional[Symbol]] = lambda _symbol: None
    """Reads a symbol of a perf map; None if it is not from this language."""

    installed: Callable[[int, Collection[str]], tuple[str, ...]] = lambda _pid, _names: ()
    """Which of these packages process ``pid`` could import, where its functions may have no names."""

    # An ELF file.
    demangle: Callable[[str], Optional[str]] = lambda _symbol: None
    """Gives the linker's symbol as it is written in source code; None if it is not from this language."""

    open_table: OpenTable = lambda _descriptor, _facts: None
    """See :data:`tracer.stacks.elf.additions.OpenTable`."""

    owns: Optional[Callable[[ElfFacts, Optional[str]], bool]] = None
    """Whether a function of a file with these facts is from this language. None stands for code without a symbol.

    A function that no language owns is ``native``.
    """

    runtime_module: Callable[[str], bool] = lambda _module: False
    """Whether a file with this base name is the runtime or its standard library."""

    extension: Callable[[str], bool] = lambda _path: False
    """Whether the file at this path is a compiled module of one of the runtime's packages: not the program's own."""

    runtime_function: Callable[[str, ElfFacts], bool] = lambda _function, _facts: False
    """Whether a function inside a program's file belongs to the runtime or the standard library.

    Asked for functions that the language owns. For a function that no language owns, all languages without ``owns``
    are asked.
    """

    starts_stack: Callable[[str], bool] = lambda _function: False
    """Whether this function starts the stacks of this runtime. A walk that ends here is complete."""

    starts_coroutine: Callable[[str, Optional[str]], bool] = lambda _module, _function: False
    """Whether a stack of its own begins in this function of this module (base name), which its code does not show.

    What seems to be its caller belongs to whoever switched to it first. A walk that ends here is complete. ``function``
    is None in a file without symbols.
    """

    # A report.
    title: str = ""
    """What reports call the runtime with its standard library: ``the JDK``. If empty, they show the frame's module."""

    package: Callable[[Frame], str] = lambda _frame: ""
    """The third-party package that a frame belongs to; empty for the program's own code.

    This and ``part`` are also called for compiled frames that no language owns: any language may be linked in.
    """

    part: Callable[[Frame], Part] = lambda _frame: Part.OTHER
    """What a frame of a runtime or of third-party code does."""

    short_name: Callable[[str], str] = str
    """A function's name without package and parameters."""

    lasting_name: Callable[[str], str] = str
    """A function's name as it is in every run and every build: without numbers that are given anew each time.

    This is also called with names of compiled code that no language owns: any language may be linked in.
    """

    names_by_file: bool = False
    """Whether two files may have different functions of one name, so that the file's name belongs to it."""

    ends_tell: bool = False
    """Whether a name that is too long for its column is cut at the front, because its end says more."""

    @property
    def has_heap(self) -> bool:
        """Whether it can be told which objects of its heap hold a socket."""
        return self.heap is not Language.heap

"""The heap of one CPython, opened: everything that is read of it, by one name each."""

from __future__ import annotations

from functools import cached_property

from tracer.stacks.languages.cpython.codelayout import CODE_LAYOUTS
from tracer.stacks.languages.cpython.heap.known import Known
from tracer.stacks.languages.cpython.heap.layout import HEAP_LAYOUTS, HeapLayout
from tracer.stacks.languages.cpython.heap.live import Live
from tracer.stacks.languages.cpython.heap.neighbours import with_sockets
from tracer.stacks.languages.cpython.heap.numbers import Numbers
from tracer.stacks.languages.cpython.heap.roots import Roots
from tracer.stacks.languages.cpython.heap.steps import Steps
from tracer.stacks.languages.cpython.heap.types import Types
from tracer.stacks.languages.cpython.heap.verify import Verifier
from tracer.stacks.languages.cpython.process import CPython, Unfit, find, layout_of
from tracer.stacks.languages.cpython.program import program
from tracer.stacks.target.process import Process
from tracer.stacks.target.reader import Reader

_LEAVES = ("PyUnicode_Type", "PyLong_Type", "PyBytes_Type", "PyFloat_Type", "PyBool_Type", "PyCode_Type")
_NOT_READ = ("[stack", "[v", "/dev/", "/memfd:", "/SYSV")


def _nothing(_file: str) -> bool:
    return False


class Heap:
    """Raises Unfit, MemoryUnreadable and Nonsense."""

    def __init__(self, process: Process) -> None:
        found = find(process)
        if found is None:
            raise Unfit("it runs no CPython whose version is known")
        layout = layout_of(found, process)
        heap_layout = HEAP_LAYOUTS.get(found.minor)
        if heap_layout is None:
            known = sorted(HEAP_LAYOUTS)
            raise Unfit(
                f"the objects of Python 3.{found.minor} are not known, those of 3.{known[0]} to 3.{known[-1]} are"
            )
        self._check(process, found, heap_layout)
        type_type = found.symbol("PyType_Type")
        if type_type is None:
            raise Unfit("its Python exports no types")
        self.process, self.minor, self.layout = process, found.minor, heap_layout
        self._module = found.module
        self.live = Live(Reader(process), heap_layout, CODE_LAYOUTS[found.minor])
        self.types = Types(self.live, type_type)
        self.steps = Steps(self.live, self.types)
        self.roots = Roots(found, layout, self.live, self.types, program(process) or _nothing)
        self.numbers = Numbers(self.live)
        self.verifier = Verifier(self.live, self.types, self.steps, self.roots, self.numbers)
        self.known = Known(self.live, self.types, self.roots)
        self.lookalikes: set[int] = set()
        """Addresses of what a walk took for objects, and the collector does not know."""
        self.leaves = [address for address in map(found.symbol, _LEAVES) if address is not None]

    @staticmethod
    def _check(process: Process, found: CPython, layout: HeapLayout) -> None:
        """Raises Unfit if the runtime's own table says otherwise."""
        reader = Reader(process)
        for word, value in layout.told.items():
            if reader.pointer(found.runtime + 8 * word) != value:
                raise Unfit(f"this build of Python 3.{found.minor} has another layout of objects ({word})")

    @cached_property
    def beside(self) -> str:
        """Code that may make sockets of its own; empty if there is none."""
        return with_sockets(self.process, self._module)

    def regions(self) -> list[tuple[int, int]]:
        """The memory that may hold objects."""
        return [
            (one.start, one.end)
            for one in self.process.mappings
            if one.perms.startswith("rw") and one.perms[3:] != "s" and not one.path.startswith(_NOT_READ)
        ]

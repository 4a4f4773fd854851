"""Frames of JavaScript: named by what was read at the touch, only if nothing speaks against it."""

from __future__ import annotations

import struct
from typing import Optional, cast

import pytest

from tests.unit.stacks.languages.node.v8memory import CODE_SPACE, HEAP, LAYOUT, V8Memory, packed, small, table_of
from tracer.machine import registers as arch
from tracer.model.frame import BlackBox, Frame
from tracer.stacks.chain import Cursor, Step, Unwinder
from tracer.stacks.language import Target
from tracer.stacks.languages.node import UNNAMED
from tracer.stacks.languages.node.unwinder import NUMBER, V8Unwinder
from tracer.stacks.target.maps import Mapping
from tracer.stacks.target.memory import BoxMemory
from tracer.stacks.target.process import Process

STACK, FP = 0x7F00_0000_0000, 0x7F00_0000_0040
NODE = Mapping(0x20_0000, 0x30_0000, "r-xp", 0, 8, 9, "/usr/bin/node")
BUILTIN, CALLER = 0x20_1000, 0x20_2000
SOURCE = "function openOrders(s) {\n  s.write('orders');\n}\n"
CALL = SOURCE.index("s.write")


class NodeProcess(V8Memory):
    """With the file of Node.js mapped."""

    def mapping(self, address: int) -> Optional[Mapping]:
        return NODE if NODE.start <= address < NODE.end else super().mapping(address)


class NoNative:
    """Builtins have no call frame information."""

    def step(self, _cursor: Cursor, _memory: object) -> Optional[Step]:
        return None


def names(cursor: Cursor) -> tuple[Frame, ...]:
    module = "node" if cursor.pc < 0x30_0000 else "[anon]"
    return (Frame("Builtins_X" if module == "node" else None, module, pc=cursor.pc),)


class Scene:
    """A frame of a function that calls, with its function, and what the kernel side told of it."""

    def __init__(self) -> None:
        self.memory = NodeProcess()
        self.bytecodes = self.memory.bytecode_array(bytes(40), [(0, packed(0)), (20, packed(CALL))])
        self.script = self.memory.script(SOURCE)
        self.shared = self.memory.shared(self.memory.scope("openOrders"), self.script, self.bytecodes)
        self.function = self.memory.function(self.shared)
        self.context = self.memory.undefined
        self.slots = [small(0), small(20 + LAYOUT.bytecodes - 1), self.bytecodes, 0, self.function, self.context]
        self.pc = BUILTIN
        self.words: tuple[tuple[int, int], ...] = ((FP, self.shared),)
        self.ns: Optional[int] = 1

    def step(self) -> Optional[Step]:
        stack = bytes(16) + struct.pack("<8Q", *self.slots, FP + 0x100, CALLER) + bytes(64)
        registers = [0] * arch.REGISTER_COUNT
        registers[arch.RSP], registers[arch.RBP], registers[arch.RETURN_ADDRESS] = STACK, FP, self.pc
        box = BlackBox(1, 1, tuple(registers), stack, False, ns=self.ns, words=self.words, language=NUMBER)
        process = cast(Process, self.memory)
        target = Target(process, cast(Unwinder, NoNative()), names, lambda _symbol: None)
        unwinder = V8Unwinder(target, NODE, LAYOUT)
        unwinder.begin(box)
        return unwinder.step(Cursor(tuple(registers), is_return=True), BoxMemory(box, process))

    def frames(self) -> list[tuple[Optional[str], Optional[int], Optional[str]]]:
        step = self.step()
        assert step is not None
        assert step.caller is not None
        assert (step.caller.pc, step.caller.bp, step.caller.sp) == (CALLER, FP + 0x100, FP + 16)
        return [(frame.function, frame.line, frame.note) for frame in step.frames]


def test_an_interpreted_frame_by_the_words_of_the_touch() -> None:
    """Whatever lies by now where the function was."""
    scene = Scene()
    scene.slots[4] = 0x1234_5671  # the function itself has moved
    assert scene.frames() == [("openOrders", 2, None)]
    step = scene.step()
    assert step is not None
    (frame,) = step.frames
    assert (frame.file, frame.language, frame.internal) == ("/srv/app.js", "node", False)


def test_without_words_the_function_itself_if_its_bytecodes_are_the_frames() -> None:
    """Otherwise it has no name."""
    scene = Scene()
    scene.words = ()
    assert scene.frames() == [("openOrders", 2, None)]
    other = scene.memory.shared(scene.memory.scope("openQuotes"), scene.script, scene.memory.bytecode_array(b"\0"))
    scene.slots[4] = scene.memory.function(other)
    ((name, line, note),) = scene.frames()
    assert (name, line) == (UNNAMED, None)
    assert note is not None
    assert "has moved" in note


def test_a_thread_as_it_is_now_has_its_functions_still() -> None:
    """Its functions cannot have moved while it waits."""
    scene = Scene()
    scene.words, scene.ns = (), None
    scene.memory.write(scene.shared - 1 + 8, struct.pack("<Q", scene.memory.undefined))
    assert scene.frames() == [("openOrders", None, None)]


def test_another_function_at_that_place_gives_no_name() -> None:
    """Its bytecodes are not those that the frame runs."""
    scene = Scene()
    other = scene.memory.bytecode_array(bytes(40), [(0, packed(0)), (20, packed(CALL))])
    scene.memory.write(scene.shared - 1 + 8, struct.pack("<Q", other))
    assert [name for name, _, _ in scene.frames()] == [UNNAMED]
    scene.memory.write(scene.shared - 1, struct.pack("<Q", scene.memory.map_of(131)))
    assert [name for name, _, _ in scene.frames()] == [UNNAMED]


def test_what_nothing_confirms_is_marked() -> None:
    """The bytecodes were dropped, or moved: then they have a call at that place, or they are not the frame's."""
    scene = Scene()
    scene.memory.write(scene.shared - 1 + 8, struct.pack("<Q", scene.memory.undefined))
    ((name, line, note),) = scene.frames()
    assert (name, line) == ("openOrders", None)
    assert note is not None
    assert "as read later" in note
    scene = Scene()
    scene.slots[2] = scene.memory.undefined
    ((name, line, note),) = scene.frames()
    assert (name, line) == ("openOrders", 2)
    assert note is not None
    assert "as read later" in note
    scene.slots[1] = small(21 + LAYOUT.bytecodes - 1)
    assert [name for name, _, _ in scene.frames()] == [UNNAMED]


def optimised(scene: Scene, own: int) -> None:
    """Code of ``own``, into which openQuotes is inlined."""
    memory = scene.memory
    inlined = memory.shared(memory.scope("openQuotes"), scene.script, memory.undefined)
    positions = memory.byte_array(table_of([(0, packed(0)), (0x20, packed(CALL, 1))]))
    inlinings = memory.byte_array(struct.pack("<Qi4x", packed(0), 0))
    deopt = memory.array(0, small(1), memory.array(inlined), 0, 0, 0, own, inlinings)
    scene.pc = memory.compiled(12, deopt, positions) + 0x30
    scene.slots[1] = 0x77  # no bytecode offset


def test_optimised_code_with_what_is_inlined() -> None:
    """Each with its line; the code names its function, so that confirms one that was read later."""
    scene = Scene()
    optimised(scene, scene.shared)
    assert scene.frames() == [("openQuotes", 2, None), ("openOrders", 1, None)]
    scene.words = ()
    assert scene.frames() == [("openQuotes", 2, None), ("openOrders", 1, None)]


def test_code_of_another_function_gives_no_name() -> None:
    """It took the place of the code that ran at the touch."""
    scene = Scene()
    optimised(scene, scene.memory.shared(scene.memory.scope("openQuotes"), scene.script))
    assert [name for name, _, _ in scene.frames()] == [UNNAMED]


def test_baseline_code() -> None:
    """Its table tells the bytecode, whose position tells the line."""
    scene = Scene()
    memory = scene.memory
    code = memory.bytecode_array(bytes([4, 0, 5, 0, 0, 3]), [(2, packed(CALL))])
    memory.write(scene.shared - 1 + 8, struct.pack("<Q", code))
    scene.pc = memory.compiled(10, code, memory.byte_array(bytes([16, 16, 16, 16]))) + 0x25
    scene.slots[1] = 0x77
    assert scene.frames() == [("openOrders", 2, None)]


def test_code_that_is_not_found_says_what_may_be_missing() -> None:
    """The function is known, but not what was inlined into it."""
    scene = Scene()
    scene.pc, scene.slots[1] = CODE_SPACE + 0x3000, 0x77
    ((name, line, note),) = scene.frames()
    assert (name, line) == ("openOrders", None)
    assert note is not None
    assert "inlined" in note


def test_builtin_functions_and_v8s_own_frames() -> None:
    """They are internal: functions without a script, and frames with a type."""
    scene = Scene()
    scene.words = ((FP, scene.memory.shared(scene.memory.string("map"), scene.memory.undefined)),)
    assert scene.frames() == [("map", None, None)]
    scene.slots[5] = 3 << 1  # an exit frame's type
    assert scene.frames() == [("Builtins_X", None, None)]
    step = scene.step()
    assert step is not None
    assert step.frames[0].internal


@pytest.mark.parametrize("below", [1 << 1, 2 << 1, 0, 0x1000, 0x7F00_0000_1000])
def test_other_frames_are_left_to_other_links(below: int) -> None:
    """Entry frames save registers that C++ needs back; the rest is not V8's."""
    scene = Scene()
    scene.slots[5] = below
    assert scene.step() is None


def test_other_code_is_left_to_other_links() -> None:
    """What is not executable, or not mapped."""
    scene = Scene()
    for pc in (HEAP, 0x55_0000):
        scene.pc = pc
        assert scene.step() is None

"""Which control frames run in which vm_exec, by hand-made words."""

from __future__ import annotations

from tracer.stacks.languages.ruby.words import Call, loops

FINISH, C, UNREAD = 1 << 56, 2 << 56, 4 << 56


def test_frames_of_each_vm_exec() -> None:
    """A loop ends with the frame that is marked so; the outermost frame is Ruby's own."""
    words = ((0x10, C), (0x20, 0x99), (0x30, 0x98 | FINISH), (0x10, C), (0x40, 0x97 | FINISH), (0x50, 0x96 | FINISH))
    assert loops(words, is_whole=True) == (
        (Call(0x10, 0, True), Call(0x20, 0x99, False), Call(0x30, 0x98, False)),
        (Call(0x10, 0, True), Call(0x40, 0x97, False)),
    )
    assert len(loops(words, is_whole=False)) == 3


def test_frames_that_run_nothing() -> None:
    """Blocks that are written in C, dummies, and methods that could not be read have no name."""
    words = ((0x10, 0), (0, C | UNREAD), (0x20, FINISH), (0x30, 5), (0, 0))
    assert loops(words, is_whole=True) == ((), (Call(0x30, 5, False),))
    assert loops((), is_whole=True) == ()

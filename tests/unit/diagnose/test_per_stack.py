"""What is remembered of a stack."""

from __future__ import annotations

from tracer.diagnose import per_stack
from tracer.model.frame import Frame, Stack


def _stack(function: str = "use") -> Stack:
    return Stack((Frame(function, "server"),), complete=True)


def test_each_stack_is_looked_at_once() -> None:
    """The second question about a stack is answered from memory, and each stack has its own answer."""
    seen: list[Stack] = []

    @per_stack.per_stack
    def functions(stack: Stack) -> list[str]:
        seen.append(stack)
        return [frame.function or "" for frame in stack.frames]

    one, other = _stack("use"), _stack("leave")
    assert [functions(one), functions(other), functions(one)] == [["use"], ["leave"], ["use"]]
    assert seen == [one, other]


def test_a_new_stack_at_the_address_of_one_that_is_gone_is_looked_at() -> None:
    """Stacks that nobody else keeps come one after the other at the same address, and none gets another's answer."""

    @per_stack.per_stack
    def function(stack: Stack) -> str:
        return stack.frames[0].function or ""

    names = [f"f{number}" for number in range(3 * per_stack._MOST)]
    assert [function(_stack(name)) for name in names] == names


def test_frames_with_the_same_names_are_looked_at_once() -> None:
    """A program that starts anew has the same functions at other addresses. Nothing is remembered of those."""
    seen: list[Frame] = []

    @per_stack.per_frame
    def name(frame: Frame) -> str:
        seen.append(frame)
        return frame.function or ""

    starts = [Frame("use", "/srv/app", 16 + start, "/src/use.c", start, pc=start << 20) for start in range(100)]
    assert {name(frame) for frame in starts} == {"use"}
    assert seen == [Frame("use", "/srv/app", file="/src/use.c")]
    others = [
        Frame("use", "/srv/app", file="/src/use.c", internal=True),
        Frame("use", "/srv/app", file="/src/use.c", language="go"),
        Frame("use", "/srv/other", file="/src/use.c"),
    ]
    assert [name(frame) for frame in others] == ["use"] * 3
    assert seen[1:] == others


def test_a_bounded_number_of_frames_is_remembered() -> None:
    """Months of programs that come and go fill no memory, and each frame has its own answer."""
    looks = []

    @per_stack.per_frame
    def name(frame: Frame) -> str:
        looks.append(frame.function)
        return frame.function or ""

    names = [f"f{number}" for number in range(2 * per_stack._MOST_FRAMES)]
    assert [name(Frame(one, "app")) for one in names] == names
    (known,) = (cell.cell_contents for cell in name.__closure__ or () if isinstance(cell.cell_contents, dict))
    assert len(known) <= per_stack._MOST_FRAMES

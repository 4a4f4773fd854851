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

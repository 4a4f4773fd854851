"""Boxes and interpreters on their way to a worker and back."""

from __future__ import annotations

import contextlib
import json
from typing import Any, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer.machine.registers import RBP, RSP
from tracer.model.frame import BlackBox, Frame, Stack, WordsEnd
from tracer.stacks.chain import FIRST_FRAME, Row
from tracer.stacks.jail import forms
from tracer.stacks.language import ENTRY_BYTES
from tracer.stacks.rows import StepRow
from tracer.stacks.walker import Common, Interpreter


def sent(values: object) -> Any:
    return json.loads(json.dumps(values))


def test_a_box_comes_as_it_went() -> None:
    """With a gap, missing pages and an interpreter's words."""
    box = BlackBox(
        *(1, 2, tuple(range(17)), b"near", True),
        unknown=frozenset({3, 4}),
        far=b"far",
        far_offset=4096,
        missing=((1, 2), (3, 4)),
        ns=1 << 62,
        words=((1, (1 << 64) - 1), (0, 0)),
        words_end=WordsEnd.LIMIT,
        language=1,
    )
    assert forms.box_from_json(sent(forms.box_to_json(box)), b"nearfar") == box


@pytest.mark.parametrize("interpreter", [None, Interpreter(1, bytes(range(ENTRY_BYTES)))])
def test_an_interpreter_comes_as_it_went(interpreter: Interpreter) -> None:
    """And so does that there is none."""
    assert forms.interpreter_from_json(sent(forms.interpreter_to_json(interpreter))) == interpreter


@pytest.mark.parametrize("common", [None, Common(4096, Interpreter(1, bytes(range(ENTRY_BYTES))))])
def test_what_holds_for_a_program_comes_as_it_went(common: Optional[Common]) -> None:
    """And so does that nothing is known."""
    assert forms.common_from_json(sent(forms.common_to_json(common))) == common


ANY = st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.lists(st.integers() | st.text(), max_size=3)


@given(ANY)
def test_whatever_a_worker_says_of_an_interpreter(said: object) -> None:
    """It is one with as many bytes as the kernel side takes, or it is not believed."""
    with contextlib.suppress(forms.Implausible):
        found = forms.interpreter_from_json({"interpreter": said})
        assert found is None or len(found.values) == ENTRY_BYTES


@pytest.mark.parametrize("said", [[0, "00" * ENTRY_BYTES], [1, "zz" * ENTRY_BYTES], [1, "00"], [256, ""], {}])
def test_what_is_no_interpreter(said: object) -> None:
    """No language has that number, or its program takes another number of bytes."""
    with pytest.raises(forms.Implausible):
        forms.interpreter_from_json({"interpreter": said})


STACK = Stack((Frame("one", "a"), Frame("two", "a"), Frame("three", "b")), True)
ROWS = (
    StepRow((1 << 64) - 1, 0, 2, Row(RSP, 48, -8, 8, ((3, -24), (RBP, -16)), (12, 13))),
    StepRow(5, 2, 3, FIRST_FRAME),
)


def test_rows_come_as_they_went() -> None:
    """With the frames that they are of."""
    assert forms.rows_from_json(sent(forms.rows_to_json(ROWS)), STACK) == ROWS


@pytest.mark.parametrize(
    ("place", "value"),
    [
        *((0, "5"), (1, -1), (1, 3), (2, 4), (3, -2), (3, 17), (3, None), (4, 1 << 70)),
        *((7, [[17, 0]]), (7, [[3]]), (7, 1), (8, [0] * 18), (8, ["a"]), (8, None)),
    ],
)
def test_what_is_no_row(place: int, value: object) -> None:
    """Numbers alone, of registers that there are, and frames that the stack has."""
    (row, _) = sent(forms.rows_to_json(ROWS))
    row[place] = value
    with pytest.raises(forms.Implausible):
        forms.rows_from_json([row], STACK)


@pytest.mark.parametrize("said", [None, {}, [[]], [1], [[0] * 8], [[0] * 7 + [[], []]] * 1025])
def test_what_are_no_rows(said: object) -> None:
    """Too many, or of another form."""
    with pytest.raises(forms.Implausible):
        forms.rows_from_json(said, STACK)


def test_a_stack_comes_as_it_went() -> None:
    """Each field of a frame."""
    frame = Frame("f", "m", 3, "shop.py", 7, "python", True, True, "a note", 1 << 63, True)
    stack = Stack((frame, Frame(None, None), STACK.frames[0]), False, "cut")
    assert forms.stack_from_json(sent(forms.stack_to_json(stack)), {}) == stack


@pytest.mark.parametrize("place", [6, 7, 10])
@pytest.mark.parametrize("value", [0, None, "true"])
def test_a_flag_is_true_or_false(place: int, value: object) -> None:
    """Anything else is no frame."""
    told = sent(forms.stack_to_json(STACK))
    told["frames"][0][place] = value
    with pytest.raises(forms.Implausible):
        forms.stack_from_json(told, {})

"""Boxes and interpreters on their way to a worker and back."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer.model.frame import BlackBox, WordsEnd
from tracer.stacks.jail import forms
from tracer.stacks.language import ENTRY_BYTES
from tracer.stacks.walker import Interpreter


def sent(values: dict[str, Any]) -> Any:
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

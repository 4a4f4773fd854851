"""Boxes, stacks and what they rest on as JSON, and back. What comes back from a worker is checked value by value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, Optional

from tracer.machine.registers import REGISTER_COUNT
from tracer.model.frame import BlackBox, Frame, Stack, WordsEnd
from tracer.stacks.chain import Row
from tracer.stacks.language import ENTRY_BYTES
from tracer.stacks.rows import StepRow
from tracer.stacks.walk import MAX_FRAMES, MOST_WITH_INLINED
from tracer.stacks.walker import Common, Interpreter
from tracer.stacks.witness import Basis, Rests

_LONGEST_TEXT = 4096
_LANGUAGES = 256


MOST_TOLD = 64 << 20
"""Bytes of stacks that a worker has told and both sides know by number. Then it begins anew with number 1."""
_FRAME_BYTES = 200


Frames = dict[tuple[Any, ...], Frame]
"""Frames by the values of their fields. A thousand stacks of one program have some hundred frames among them: each is
kept once, with its texts.
"""


class Implausible(Exception):
    """A worker said what is no stack."""


def box_to_json(box: BlackBox) -> dict[str, Any]:
    """All but the copied stack, which goes as bytes, the part behind a gap after the rest."""
    values = {one.name: getattr(box, one.name) for one in fields(box) if one.name not in ("stack", "far")}
    return {**values, "unknown": sorted(box.unknown), "far_bytes": len(box.far)}


def box_from_json(values: dict[str, Any], copied: bytes) -> BlackBox:
    """The box again, in the worker."""
    near = len(copied) - values.pop("far_bytes")
    changes = {
        "registers": tuple(values["registers"]),
        "unknown": frozenset(values["unknown"]),
        "missing": tuple((start, end) for start, end in values["missing"]),
        "words": tuple((first, second) for first, second in values["words"]),
        "words_end": WordsEnd(values["words_end"]),
        "stack": copied[:near],
        "far": copied[near:],
    }
    return BlackBox(**{**values, **changes})


def interpreter_to_json(interpreter: Optional[Interpreter]) -> dict[str, Any]:
    """An interpreter, or that there is none."""
    told = None if interpreter is None else [interpreter.language, interpreter.values.hex()]
    return {"interpreter": told}


def interpreter_from_json(values: dict[str, Any]) -> Optional[Interpreter]:
    """Raises Implausible."""
    told = values.get("interpreter", values)
    if told is None:
        return None
    if not isinstance(told, list) or len(told) != 2 or not isinstance(told[1], str):
        raise Implausible
    if len(told[1]) != 2 * ENTRY_BYTES or not 0 < _number(told[0]) < _LANGUAGES:
        raise Implausible
    try:
        return Interpreter(told[0], bytes.fromhex(told[1]))
    except ValueError:
        raise Implausible from None


def common_to_json(common: Optional[Common]) -> dict[str, Any]:
    """What holds for all processes of a program, or that nothing is known."""
    return {"address": 0} if common is None else {"address": common.address, **interpreter_to_json(common.interpreter)}


def common_from_json(values: dict[str, Any]) -> Optional[Common]:
    """Raises Implausible."""
    address = _number(values.get("address"))
    interpreter = interpreter_from_json(values) if address else None
    return Common(address, interpreter) if interpreter is not None else None


def stack_to_json(stack: Stack) -> dict[str, Any]:
    """A stack, with long texts cut."""
    frames = [
        [_cut(f.function), _cut(f.module), f.offset, _cut(f.file), f.line, f.language, f.inlined, f.internal,
         _cut(f.note), f.pc, f.of_program]
        for f in stack.frames
    ]  # fmt: skip
    return {"frames": frames, "complete": stack.complete, "note": _cut(stack.note)}


def weight(stack: Stack) -> int:
    """About how many bytes of memory a stack takes."""
    texts = ((f.function, f.module, f.file, f.note) for f in stack.frames)
    return sum(_FRAME_BYTES + sum(len(text) for text in four if text) for four in texts)


def stack_from_json(values: object, known: Frames) -> Stack:
    """The stack, with those of its frames that are ``known``; the others are from now on. Raises Implausible."""
    if not isinstance(values, dict):
        raise Implausible
    frames, complete, note = values.get("frames"), values.get("complete"), values.get("note")
    if not isinstance(frames, list) or len(frames) > MOST_WITH_INLINED or not isinstance(complete, bool):
        raise Implausible
    return Stack(tuple([_frame(frame, known) for frame in frames]), complete, _text(note))


def _frame(values: object, known: Frames) -> Frame:
    if not isinstance(values, list) or len(values) != 11:
        raise Implausible
    function, module, offset, file, line, language, inlined, internal, note, pc, of_program = values
    if not all(isinstance(flag, bool) for flag in (inlined, internal, of_program)) or not isinstance(language, str):
        raise Implausible
    told = (
        _text(function),
        _text(module),
        _number(offset),
        _text(file),
        None if line is None else _number(line),
        language[:32],
        inlined,
        internal,
        _text(note),
        _number(pc),
        of_program,
    )
    one = known.get(told)
    if one is None:
        one = known[told] = Frame(*told)
    return one


def rests_to_json(rests: Rests) -> dict[str, Any]:
    """Each step as three lists of address and word, or of register and word; and for which touches they hold."""
    steps = [[list(part.items()) for part in (s.exact, s.relative, s.registers)] for s in rests.steps]
    since, until = rests.since_ns, rests.until_ns
    return {"steps": steps, "generated": rests.generated, "cut": rests.is_cut, "since": since, "until": until}


def rests_from_json(values: object, box: BlackBox) -> Rests:
    """Only words of the copied stack and registers of the box. Raises Implausible."""
    if not isinstance(values, dict):
        raise Implausible
    steps, generated = values.get("steps"), values.get("generated")
    if not isinstance(steps, list) or len(steps) > MAX_FRAMES or not isinstance(generated, bool):
        raise Implausible
    since, until = _number(values.get("since")), _number(values.get("until"))
    return Rests(tuple(_basis(step, box) for step in steps), generated, values.get("cut") is True, since, until)


def _basis(step: object, box: BlackBox) -> Basis:
    if not isinstance(step, list) or len(step) != 3:
        raise Implausible
    low, high = box.sp, box.sp + len(box.stack) - 8
    exact, relative = (_words(part, low, high) for part in step[:2])
    return Basis(exact, relative, _words(step[2], 0, len(box.registers) - 1))


def rows_to_json(rows: Sequence[StepRow]) -> list[list[Any]]:
    """Each row as one list of numbers, but for its registers: those are two lists in it."""
    return [[pc, first, end, *row] for pc, first, end, row in rows]


def rows_from_json(values: object, stack: Stack) -> tuple[StepRow, ...]:
    """Numbers within bounds, of registers that there are and frames that ``stack`` has. Raises Implausible."""
    if not isinstance(values, list) or len(values) > MAX_FRAMES:
        raise Implausible
    return tuple(_row(row, len(stack.frames)) for row in values)


def _row(values: object, frames: int) -> StepRow:
    if not isinstance(values, list) or len(values) != 9 or not isinstance(values[7], list):
        raise Implausible
    pc, first, end, register, offset, returns, above = map(_number, values[:7])
    if not 0 <= first <= end <= frames or not -1 <= register < REGISTER_COUNT:
        raise Implausible
    saved = tuple(_words(values[7], 0, REGISTER_COUNT - 1).items())
    lost = values[8]
    if not isinstance(lost, list) or len(lost) > REGISTER_COUNT:
        raise Implausible
    return StepRow(pc, first, end, Row(register, offset, returns, above, saved, tuple(map(_number, lost))))


def _words(pairs: object, low: int, high: int) -> dict[int, int]:
    if not isinstance(pairs, list) or len(pairs) > 4096:
        raise Implausible
    words = {}
    for pair in pairs:
        if not isinstance(pair, list) or len(pair) != 2:
            raise Implausible
        place, word = _number(pair[0]), _number(pair[1])
        if not low <= place <= high:
            raise Implausible
        words[place] = word
    return words


def _cut(text: Any) -> Any:
    return text[:_LONGEST_TEXT] if text else text


def _text(value: object) -> Any:
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > _LONGEST_TEXT:
        raise Implausible
    return value


def _number(value: object) -> int:
    if not isinstance(value, int) or not -(1 << 64) < value < 1 << 65:
        raise Implausible
    return int(value)

"""Recorded reports that somebody made to harm who reads them: every form comes, or one line says why not."""

from __future__ import annotations

import copy
import json
import os
import re
import resource
import subprocess
from pathlib import Path
from typing import Any, Callable

import pytest

from tests.live.closetrace_command import SLOW, command
from tests.unit.builders import connection, report
from tests.unit.cases import EOF_READ
from tracer.reports.json import report as document

Value = dict[str, Any]
FORMS = ("text", "json", "html", "pprof", "merged")
MOST_CPU_S = 20.0
MOST_BYTES = 700 << 20
WIDE = "\u6f22\u0301" * 32_000
"""Each character takes two columns or none."""
UNSEEN = "\x1b[31m\x9b2J\u202e\u2066\u200b\r\x07</script><!--<script>alert(1)</script>"
RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def recorded() -> Value:
    """A report of two sites with stacks."""
    touched = [connection(1), connection(2), connection(3, **EOF_READ)]
    told: Value = json.loads("".join(document.to_text(report(*touched))))
    frame = json.loads("".join(document.to_text(report(connection(1)))))["sites"][0]["stack"]
    for site in told["sites"]:
        site["stack"] = site["stack"] or frame or [{"function": "f", "language": "native"}]
    return told


def _text(told: Value) -> str:
    return json.dumps(told)


def wide_names(told: Value) -> str:
    """Names that are as wide as a name may be: to cut one must not look at it again for each character."""
    told["sites"][0]["remote"] = told["sites"][0]["program"] = told["sites"][0]["comm"] = WIDE
    for site in told["sites"]:
        site["stack"] = [{**site["stack"][0], "function": WIDE, "file": WIDE, "module": WIDE}] * 20
    return _text(told)


def unseen_characters(told: Value) -> str:
    """In every text that a form shows."""
    told["target"] = told["host"]["hostname"] = told["host"]["kernel"] = UNSEEN
    for site in told["sites"]:
        site.update(comm=UNSEEN, program=UNSEEN, remote=UNSEEN, last_op=UNSEEN, explanation=[UNSEEN], advice=UNSEEN)
        site["advice_parts"] = [UNSEEN]
        site["stack"] = [
            {**one, "function": UNSEEN, "file": UNSEEN, "module_path": UNSEEN, "note": UNSEEN} for one in site["stack"]
        ]
    return _text(told)


def _beside(text: str) -> Callable[[Value], str]:
    """``text`` as the value of a key that no report has."""
    return lambda told: f'{{"other": {text}, {_text(told)[1:]}'


def no_addresses(told: Value) -> str:
    """A socket's addresses are lists of lists of lists."""
    deep: Any = []
    for _ in range(300):
        deep = [deep]
    told["sites"][0]["sockets"][0].update(local=deep, remote=deep, inode=deep)
    return _text(told)


def of_1970(told: Value) -> str:
    """It ended at the epoch."""
    return _text({**told, "now_ns": 0})


def of_the_last_day(told: Value) -> str:
    """All of it was in the last microsecond that a calendar knows."""
    last = "9999-12-31T23:59:59.999999999Z"
    return _text(
        {**told, "now_ns": 253_402_300_799_999_999_999, "started": last, "ended": last, "recorded_since": last}
    )


CASES: dict[str, Callable[[Value], str]] = {
    "honest": _text,
    "wide-names": wide_names,
    "unseen-characters": unseen_characters,
    "deep-lists": _beside("[" * 1_000_000),
    "deep-objects": _beside('{"a":' * 100_000),
    "deep-and-closed": _beside("[" * 900 + "]" * 900),
    "not-a-number": _beside("NaN"),
    "endless-number": _beside("9" * 20_000_000),
    "large-float": _beside("1e99999"),
    "long-string": _beside('"' + "x" * 100_000_000 + '"'),
    "halves-of-characters": _beside('"' + "\\ud800" * 1_000_000 + '"'),
    "same-key-again": lambda told: '{"sites": [],' + '"sites": [],' * 500_000 + _text(told)[1:],
    "no-addresses": no_addresses,
    "of-1970": of_1970,
    "of-the-last-day": of_the_last_day,
}


def limits() -> None:
    """So much time and memory, and no more."""
    resource.setrlimit(resource.RLIMIT_CPU, (int(MOST_CPU_S * SLOW),) * 2)
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))


@pytest.mark.timeout(300 * SLOW)
@pytest.mark.parametrize("name", CASES)
def test_each_form(name: str, tmp_path: Path) -> None:
    """Within the limits, with no word of Python's, and with nothing that a terminal or a browser might obey."""
    words, more = command()
    place, other = tmp_path / "hostile.json", tmp_path / "honest.json"
    place.write_text(CASES[name](copy.deepcopy(recorded())))
    other.write_text(_text(recorded()))
    for form in FORMS:
        how = [str(other)] if form == "merged" else [] if form == "text" else [f"--{form}"]
        ran = subprocess.run(
            [*words, "report", *how, str(place)],
            capture_output=True,
            check=False,
            env={**os.environ, **more},
            preexec_fn=limits,
        )
        said = ran.stderr.decode()
        assert ran.returncode in (0, 1), (form, ran.returncode, said)
        if ran.returncode:
            assert said.splitlines()[-1].startswith("closetrace: "), (form, said)
        else:
            assert ran.stdout, form
        assert "Traceback" not in said
        assert not RAW.search(said)
        if form != "pprof":
            assert not RAW.search(ran.stdout.decode())
        if form == "html":
            assert ran.stdout.count(b"<script") in (0, 2)

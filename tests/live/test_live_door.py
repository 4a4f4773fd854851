"""The door for debugging: doctor --dump, compared with the running kernel."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.live.closetrace_command import run_closetrace
from tracer.kernel.compiler import compile_text
from tracer.kernel.objectcode import from_text

PROBES = ("--probes", os.environ.get("CLOSETRACE_TEST_PROBES") or "auto")


@pytest.mark.parametrize("variant", ["trace", "tail-stacks"])
def test_a_dump_is_what_this_kernel_takes(tmp_path: Path, variant: str) -> None:
    """Its C text and headers compile to its object code, and the verifier's log of each program goes to the end."""
    there = tmp_path / "dump"
    ran = run_closetrace("doctor", "--dump", str(there), "--for", variant, "--comm", "nginx", *PROBES)
    assert ran.code == 0, ran.err
    assert "missing" not in ran.err
    again = compile_text((there / "program.c").read_text(), there / "headers")
    code = from_text((there / "object.json").read_text())
    assert again == code
    chosen = {one["program"] for one in json.loads((there / "plan.json").read_text())["attachments"]}
    logs = {path.stem: path.read_text() for path in (there / "verifier").iterdir()}
    assert set(logs) == chosen | {"run_drain"} == set(code.programs)
    for name, log in logs.items():
        assert re.match(r"processed \d+ insns", log.splitlines()[-1]), name
        assert not log.startswith("closetrace:"), log[:200]
        last = len(code.programs[name]) // 8 - 1
        assert re.search(rf"^{last}: \(", log, re.MULTILINE), f"{name}: instruction {last} is not in the log"
    shown = subprocess.run(["eu-objdump", "-d", there / "object.o"], capture_output=True, text=True, check=True).stdout
    assert re.findall(r"^Disassembly of section (\S+):", shown, re.MULTILINE) == list(code.programs)
    assert [path for path in there.rglob("*") if path.stat().st_mode & 0o022] == []


def test_a_dump_without_rights_says_what_is_missing() -> None:
    """An ordinary user gets what needs no load: headers, C text and findings, and the reason for the rest."""
    nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    with tempfile.TemporaryDirectory() as directory:
        os.chown(directory, 65534, 65534)
        there = Path(directory)
        ran = run_closetrace("doctor", "--dump", directory, *PROBES, prefix=nobody)
        assert ran.code == 0, ran.err
        assert "Traceback" not in ran.err
        assert re.search(r"^missing: .*verifier/ \(", ran.err, re.MULTILINE)
        assert (there / "headers/include/linux/kconfig.h").stat().st_size > 1000
        assert json.loads((there / "findings.json").read_text())["ready"] is False
        assert re.search(r"^missing: .*verifier/ ", (there / "contents.txt").read_text(), re.MULTILINE)

"""Help for debugging: doctor --dump and --verbose, compared with the running kernel."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.live.bpf_ids import loaded_by
from tests.live.closetrace_command import LINGER, Trace, let_linger, run_closetrace
from tests.live.workload import start
from tracer.kernel.compiler import compile_text
from tracer.kernel.objectcode import from_text

PROBES = ("--probes", os.environ.get("CLOSETRACE_TEST_PROBES") or "auto")


@pytest.mark.parametrize("variant", ["trace", "tail-stacks"])
def test_a_dump_is_what_this_kernel_takes(tmp_path: Path, variant: str) -> None:
    """The C text and headers compile to the object code, and each verifier log is complete."""
    there = tmp_path / "dump"
    ran = run_closetrace("doctor", "--dump", str(there), "--for", variant, "--comm", "nginx", *PROBES)
    assert ran.code == 0, ran.err
    assert "missing" not in ran.err
    again = compile_text((there / "program.c").read_text(), there / "headers")
    code = from_text((there / "object.json").read_text())
    assert again == code
    chosen = {one["program"] for one in json.loads((there / "plan.json").read_text())["attachments"]}
    logs = {path.stem: path.read_text() for path in (there / "verifier").iterdir()}
    walks = {f"walk_{path.stem.partition('.')[0]}" for path in there.glob("languages/*.bpf.c")}
    assert {name.partition("-")[0] for name in logs if name not in code.programs} == walks
    assert bool(walks) is (variant == "trace")
    assert set(logs) & set(code.programs) == chosen | {"run_drain"} == set(code.programs)
    for name, log in logs.items():
        assert re.match(r"processed \d+ insns", log.splitlines()[-1]), name
        assert not log.startswith("closetrace:"), log[:200]
    for name, instructions in code.programs.items():
        last = len(instructions) // 8 - 1
        assert re.search(rf"^{last}: \(", logs[name], re.MULTILINE), f"{name}: instruction {last} is not in the log"
    shown = subprocess.run(["eu-objdump", "-d", there / "object.o"], capture_output=True, text=True, check=True).stdout
    assert re.findall(r"^Disassembly of section (\S+):", shown, re.MULTILINE) == list(code.programs)
    assert [path for path in there.rglob("*") if path.stat().st_mode & 0o022] == []


def test_a_dump_without_rights_says_what_is_missing() -> None:
    """An ordinary user gets what needs no rights: headers, C text and findings. For the rest the reason is given."""
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


def test_verbose_tells_each_step() -> None:
    """Every program that this kernel has loaded for it, each attachment, each look, and what the look read."""
    with start("idle_pool", "3") as program, Trace("--pid", str(program.pid()), *LINGER, "--verbose") as trace:
        trace.attached()
        loaded = loaded_by(trace.process.pid)
        program.all_steps()
        let_linger()
        ran = trace.stop()
    assert ran.code == 0, ran.err
    assert "[" not in ran.out.splitlines()[0]
    lines = [line for line in ran.err.splitlines() if re.match(r"\[ *[\d.]+ ms\] \S", line)]
    times = [float(line[1:].split()[0]) for line in lines]
    assert times == sorted(times)
    text = "\n".join(lines)
    for step in ("header tree ", "kernel probed for ", "object code ", "maps made in ", "report: printed in "):
        assert step in text
    told = re.findall(r"program \w+ loaded: \d+ instructions in [\d.]+ ms", text)
    assert len(told) == sum(1 for kind, _ in loaded if kind == "prog")
    attached = re.findall(r"attached \w+:(\w+) in", text)
    families = re.findall(r"hooks of family \w+: (\w+:\S+)$", text, re.MULTILINE)
    of_families = [one.partition(":")[2] for family in families for one in family.split("+")]
    # Beside the hook families: who made whom, and when a process takes another program.
    assert sorted(attached) == sorted([*of_families, "sched_process_fork", "sched_process_exec"])
    read = [int(count) for count in re.findall(r"look: .* (\d+) records read, ", text)]
    assert sum(read) == 3
    assert f"process {program.pid()} opened" in text
    assert re.search(r"seeded with what is older: \d+ sockets \(0 in CLOSE_WAIT\) of 1 network namespaces", text)

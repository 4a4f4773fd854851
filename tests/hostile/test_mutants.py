"""Thousands of damaged files: our own code raises nothing, and libdw's failures are rare enough to be survived."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.stacks.links.test_native import HEAD
from tests.unit.stacks.stackbox import compile_c

COUNT, SEED, PER_RUN = 3000, 20_251_125, 250
MOST_ENDED = COUNT // 50
"""Mutants by which libdw ends the process: a worker that ends is replaced."""


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small program with all that is read: symbols, unwind data, debug information, inlined calls."""
    source = (
        HEAD + "static inline int deep(int n) { return n ? n + block() : 0; }\nint main(int n) { return deep(n); }\n"
    )
    return compile_c(tmp_path_factory.mktemp("original"), "original", source, "-g", "-Wl,--build-id")


@pytest.mark.timeout(240)
@pytest.mark.parametrize("part", range(COUNT // PER_RUN))
def test_mutants(original: Path, part: int) -> None:
    """None raises in Python, none takes longer than its share of the time, few end the process."""
    first, end, ended = part * PER_RUN, (part + 1) * PER_RUN, 0
    while first < end:
        ran = subprocess.run(
            [sys.executable, "-m", "tests.hostile.mutants", original, str(SEED), str(first), str(end - first)],
            cwd=Path(__file__).resolve().parents[2],
            capture_output=True,
            text=True,
            timeout=60,
            preexec_fn=_limit,
            check=False,
        )
        assert "Traceback" not in ran.stderr, (ran.stdout.split()[-1:], ran.stderr)
        if ran.returncode == 0:
            break
        assert ran.returncode < 0, ran.stderr
        ended += 1
        first = int(ran.stdout.split()[-1]) + 1
    assert ended <= MOST_ENDED // (COUNT // PER_RUN) + 1

"""Runs the live tests in guests: all kernels and ways in of kernels.json, or a part of them.

Writes build/vm-results.json and one directory per cell under build/vm/ (console.log, junit.xml), prints a table,
and exits 0 only if every cell passed. A skipped test fails its cell unless kernels.json names it with a reason.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import signal
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Callable, Optional

import tomllib

from tests.vm.cells import Cell, Matrix
from tests.vm.debian import Suite
from tests.vm.guest import Machine, kill_guests, run_in_guest
from tests.vm.kernels import kernel_files
from tests.vm.results import CellResult, judge, merge, table
from tests.vm.userlands import chroot_archive, userland_image, wheels
from tests.vm.workloads import build_workloads

PROJECT = Path(__file__).resolve().parents[2]
BUILD = PROJECT / "build"
# Cells share the cache, what is built, and the results. One cell is prepared at a time, while others may run.
_files = Lock()


def main(argv: Optional[list[str]] = None) -> int:
    """Run the chosen cells and return the exit status."""
    signal.signal(signal.SIGTERM, _terminated)
    matrix = Matrix.load()
    options = _options(matrix, argv)
    cells = matrix.choose(options.kernel, options.way, options.userland, options.ci)
    if not cells:
        print("no such cell in tests/vm/kernels.json", file=sys.stderr)
        return 2
    results = _run_all([partial(_run, matrix, cell, options) for cell in cells], options.jobs)
    print(table(results))
    return 0 if all(r.passed_all for r in results) else 1


def _terminated(*_: object) -> None:
    raise KeyboardInterrupt


def _run_all(runs: Sequence[Callable[[], CellResult]], jobs: int) -> list[CellResult]:
    """Run the cells, ``jobs`` at a time. An interruption ends the running guests and starts no more."""
    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(run) for run in runs]
        try:
            return [future.result() for future in futures]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            kill_guests()
            raise


def _options(matrix: Matrix, argv: Optional[list[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kernel", help=f"only this one of {', '.join(matrix.kernels)}")
    parser.add_argument("--way", choices=[*matrix.ways, *matrix.absences], help="only this way in, or absence")
    parser.add_argument("--userland", choices=matrix.userlands, help="this distribution's root on its own kernel")
    parser.add_argument("--ci", action="store_true", help="one cell per kernel, the way that kernels.json names")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="guests at a time (default: CPUs)")
    parser.add_argument("--command", help="run this shell text in the guest instead of the tests")
    parser.add_argument("--parameters", default="", help="more kernel boot parameters")
    return parser.parse_args(argv)


def cache_directory() -> Path:
    """Return where downloads and images are kept between runs."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "closetrace-test"


def machine_for(matrix: Matrix, cell: Cell, parameters: str = "") -> Machine:
    """Return the guest of ``cell``. Download and build what the cache lacks."""
    cache = cache_directory()

    def suite(name: str) -> Suite:
        return Suite(name, matrix.mirror, matrix.keyring, cache / "apt" / name)

    kernel = kernel_files(cell.kernel, suite(cell.kernel_suite), cell.kernel_packages, cache)
    root = userland_image(suite(cell.userland), matrix.root_packages, cache)
    chroot = chroot_archive(suite(cell.chroot), matrix.chroot_packages, cache) if cell.chroot else None
    return Machine(kernel, root, parameters, timeout_s=matrix.cell_timeout_s, chroot=chroot)


def _run(matrix: Matrix, cell: Cell, options: argparse.Namespace) -> CellResult:
    home = BUILD / "vm" / cell.name
    with _files:
        machine = machine_for(matrix, cell, f"{cell.parameters} {options.parameters}".strip())
        kept = cache_directory() / "kept" / machine.root.stem
        build_workloads(machine.root, PROJECT, kept)
        if cell.install:
            _bring_wheels(matrix, cell, kept / "wheels")
    print(f"{cell.name}: {machine.kernel.abi} ...", flush=True)
    outcome = run_in_guest(machine, PROJECT, options.command or _tests(matrix, cell), home, kept)
    if options.command:
        print((home / "console.log").read_text(errors="replace"))
    result = judge(cell, machine.kernel.abi, outcome, home, tests_ran=not options.command)
    if not options.command:
        with _files:
            merge(BUILD / "vm-results.json", [result])
    print(f"{cell.name}: {result.summary}", flush=True)
    return result


def _bring_wheels(matrix: Matrix, cell: Cell, target: Path) -> None:
    """Copy to ``target`` the wheels that pip needs in the guest, where a distribution has none or an old one."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    userland = matrix.userlands[cell.userland]
    wanted = ["pip", "setuptools", "wheel", *project["dependencies"], *matrix.test_requirements]
    # pip evaluates conditions on the Python version for its own Python, not for that of the wheels.
    wanted += userland.get("requirements", [])
    found = wheels(userland["python"], wanted, cache_directory())
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(found, target)


def _tests(matrix: Matrix, cell: Cell) -> str:
    python = ".venv/bin/python" if cell.install else "python3"
    words = f"{python} -m pytest --color=no -p no:cacheprovider --durations=25 --junitxml=/out/junit.xml"
    words += " -o timeout=300"
    chosen = [*cell.tests, *cell.lost]
    install = f"""
export PIP_NO_INDEX=1 PIP_FIND_LINKS=/keep/wheels
make install && (cd / && closetrace -V) || exit 1
.venv/bin/python -m pip install --quiet {shlex.join(matrix.test_requirements)} || exit 1
"""
    return f"""
mv /keep/closetrace-workloads-0 /tmp/
export CLOSETRACE_TEST_PROBES={cell.probes} CLOSETRACE_TEST_SLOW={cell.slow}
{install if cell.install else ""}
{python} -m compileall -q tracer
{words} {shlex.join(chosen)}
"""


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("interrupted")

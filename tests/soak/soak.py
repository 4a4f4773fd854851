"""Watches an agent for an hour, or as long as one likes: does its memory stay what it was after ten minutes?

Programs open connections, leaks come and go, programs start anew. Every ten seconds a line of figures is written to
``OUTPUT.csv``; at the end a table to ``OUTPUT.md`` and a picture to ``OUTPUT.svg``. A command asks the agent once a
minute. It runs on the real kernel, as root. The programs are in a network namespace of their own, and the agent records
that one alone: so other work on the machine does not count.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.fleet.engine import answers, eventually, free_port
from tests.soak import picture, table
from tests.soak.programs import Program, several
from tests.soak.samples import Answer, Sample, answer, take

_EVERY_S, _ASK_S, _PATIENCE_S = 10.0, 60.0, 60.0
_OVERHEAD = 5
"""Percent of one CPU. Twelve leaks a second take more than the usual limit, and then stacks are left out: with them the
agent has more to keep.
"""
_NETNS = f"closetrace-soak-{os.getpid()}"


@contextlib.contextmanager
def _namespace() -> Iterator[tuple[str, ...]]:
    """A network namespace with loopback; gives the prefix of commands that run there."""
    subprocess.run(["ip", "netns", "add", _NETNS], check=True)
    try:
        inside = ("ip", "netns", "exec", _NETNS)
        subprocess.run([*inside, "ip", "link", "set", "lo", "up"], check=True)
        yield inside
    finally:
        subprocess.run(["ip", "netns", "delete", _NETNS], check=False)


@contextlib.contextmanager
def _agent(command: list[str], log: Path, port: int, place: str) -> Iterator[subprocess.Popen[bytes]]:
    words = [*command, "agent", "--config", "/dev/null", "--socket", place, "--netns", _NETNS]
    words += ["--metrics", f"127.0.0.1:{port}", "--max-overhead", str(_OVERHEAD)]
    with log.open("wb") as file, subprocess.Popen(words, stderr=file) as process:
        try:
            eventually(lambda: answers(f"http://127.0.0.1:{port}/metrics"), "the agent publishes nothing")
            eventually(lambda: os.path.exists(place), "the agent cannot be asked")
            yield process
        finally:
            process.terminate()


def _ask(command: list[str], place: str, before: Answer) -> Answer:
    """Without an answer the command traces anew, and would not end."""
    words = [*command, "--agent-socket", place, "--netns", _NETNS, "--json"]
    try:
        done = subprocess.run(words, stdout=subprocess.PIPE, check=True, timeout=_PATIENCE_S)
    except subprocess.TimeoutExpired:
        print(f"no answer within {_PATIENCE_S:g} s", file=sys.stderr)
        return before
    return answer(json.loads(done.stdout))


def _watch(options: argparse.Namespace, programs: list[Program], pid: int, port: int, place: str) -> Iterator[Sample]:
    begun, last = time.monotonic(), Answer()
    sampled = asked = begun
    while (now := time.monotonic()) < begun + options.minutes * 60:
        for program in programs:
            program.look()
        if now >= asked:
            asked = now + _ASK_S
            last = _ask(options.command, place, last)
        if now >= sampled:
            sampled = now + _EVERY_S
            yield take(pid, port, now - begun, sum(program.starts for program in programs), last)
        time.sleep(0.2)


def _run(options: argparse.Namespace) -> list[Sample]:
    port, output = free_port(), options.output
    place, found = str(output.with_suffix(".sock").resolve()), []
    with contextlib.ExitStack() as stack, output.with_suffix(".csv").open("w", newline="") as file:
        within = stack.enter_context(_namespace())
        agent = stack.enter_context(_agent(options.command, output.with_suffix(".log"), port, place))
        programs = several(options.rate, options.life, within)
        for program in programs:
            stack.callback(program.close)
        lines = csv.writer(file)
        lines.writerow(Sample._fields)
        for sample in _watch(options, programs, agent.pid, port, place):
            lines.writerow(sample)
            file.flush()
            found.append(sample)
    return found


def main() -> None:
    """Run, and write what was seen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--rate", type=int, default=240, help="connections per second")
    parser.add_argument("--life", type=float, default=300, help="seconds after which a program is started anew")
    parser.add_argument("--output", type=Path, default=Path("build/soak"))
    parser.add_argument("--command", type=str.split, default=[str(Path(sys.executable).with_name("closetrace"))])
    parser.add_argument("--drawn", action="store_true", help="draw OUTPUT.csv again, without a run")
    options = parser.parse_args()
    options.output.parent.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what it started ends with it
    samples = _read(options.output.with_suffix(".csv")) if options.drawn else _run(options)
    options.output.with_suffix(".svg").write_text(picture.drawn(samples))
    options.output.with_suffix(".md").write_text(table.written(samples))
    print(table.written(samples))


def _read(path: Path) -> list[Sample]:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    kinds = Sample.__annotations__
    return [Sample(**{name: (int if kinds[name] == "int" else float)(row[name]) for name in row}) for row in rows]


if __name__ == "__main__":
    main()

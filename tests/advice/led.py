"""A cell's program as the test leads it, and its sockets as ss lists them."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import TracebackType

from tests.live.oracles import SsLine


class Led:
    """One mode of a program: it says ``ready``, works when told to, says ``done``, and stays until the end."""

    def __init__(self, words: tuple[str, ...], mode: str, port: int, value: int) -> None:
        self.mode = mode
        pipe = subprocess.PIPE
        self._process = subprocess.Popen([*words, mode, str(port), str(value)], stdin=pipe, stdout=pipe, text=True)

    def __enter__(self) -> Led:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def pid(self) -> int:
        """The program's process."""
        return self._process.pid

    def until(self, word: str) -> str:
        """Waits until it says the word; what it said before, line by line."""
        assert self._process.stdout is not None
        before = ""
        for line in self._process.stdout:
            if line.strip() == word:
                return before
            before += line
        raise AssertionError(f"{self.mode} ended ({self._process.wait()}) before it said {word}")

    def go(self) -> None:
        """Lets it work."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    def lingering(self, lines: list[SsLine]) -> int:
        """How many sockets of the program and its children are in CLOSE_WAIT."""
        pids = {self.pid, *descendants(self.pid)}
        return sum(line.state == "CLOSE-WAIT" and any(pid in pids for pid, _ in line.holders) for line in lines)


def descendants(pid: int) -> set[int]:
    """The children of a process, theirs, and so on."""
    found = set()
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        children = {int(word) for word in task.read_text().split()}
        found |= children.union(*(descendants(child) for child in children))
    return found

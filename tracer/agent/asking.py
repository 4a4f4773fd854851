"""Asks the agent of this host. Whoever asks can go on without it: nothing here takes long before the answer begins."""

from __future__ import annotations

import socket
import struct
import time
from typing import BinaryIO, Callable

from tracer.agent.protocol import (
    MOST_BYTES,
    About,
    Greeting,
    NoAnswer,
    Question,
    Refusal,
    about_from,
    greeting_from,
    length_from,
    question_line,
)

_BEGIN_S, _ANSWER_S, _NEXT_S = 1.0, 15.0, 60.0
"""How long to wait for the first word, for the answer to begin, and for each part of it."""
_AGAIN_S = 0.02
_MOST_CHUNK = 16 << 20


class NoAgent(Exception):
    """There is no agent at that place for this user."""


class NotAnswered(Exception):
    """There is one, and it does not answer: the text says why, as a clause."""


class Asked:
    """A question that an agent has taken up. Use it in a ``with`` statement.

    Raises NoAgent, NotAnswered; later NoAnswer if the agent ends before its answer does.
    """

    def __init__(self, path: str, question: Question) -> None:
        line = question_line(question)
        self._socket = _connected(path)
        try:
            self._file: BinaryIO = self._socket.makefile("rb")
            self._socket.sendall(line)
            said = greeting_from(self._file.readline(MOST_BYTES))
        except TimeoutError:
            self._socket.close()
            raise NotAnswered(f"it does not answer within {_BEGIN_S:g} s") from None
        except (OSError, NoAnswer):
            self._socket.close()
            raise NotAnswered("it does not answer") from None
        if isinstance(said, Refusal):
            self.close()
            raise NotAnswered(said.why)
        self.greeting: Greeting = said

    def __enter__(self) -> Asked:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def about(self) -> About:
        """What comes before the text. Raises NotAnswered, also if the agent ends: nothing of its answer was told."""
        self._socket.settimeout(_ANSWER_S)
        try:
            line = self._file.readline(MOST_BYTES)
        except OSError:
            raise NotAnswered(f"it has no answer within {_ANSWER_S:g} s") from None
        self._socket.settimeout(_NEXT_S)
        try:
            refusal = greeting_from(line)
        except NoAnswer:
            return self._about_from(line)
        raise NotAnswered(refusal.why if isinstance(refusal, Refusal) else "it greets twice")

    def _about_from(self, line: bytes) -> About:
        try:
            return about_from(line)
        except NoAnswer as reason:
            raise NotAnswered(str(reason)) from None

    def text(self, write: Callable[[bytes], object]) -> None:
        """Give the text to ``write``, chunk by chunk. Raises NoAnswer, and what ``write`` raises."""
        while length := length_from(self._line()):
            if length > _MOST_CHUNK:
                raise NoAnswer("it sends too much at once")
            data = self._read(length)
            if len(data) < length:
                raise NoAnswer("it ended within its answer")
            write(data)

    def _line(self) -> bytes:
        try:
            return self._file.readline(MOST_BYTES)
        except OSError:
            return b""

    def _read(self, length: int) -> bytes:
        try:
            return self._file.read(length)
        except OSError:
            return b""

    def close(self) -> None:
        """Hang up."""
        self._file.close()
        self._socket.close()


def _connect(line: socket.socket, path: str) -> None:
    """With a time limit connect(2) does not wait where too many others do: it fails with EAGAIN (unix(7))."""
    until = time.monotonic() + _BEGIN_S
    while True:
        try:
            return line.connect(path)
        except BlockingIOError:
            if time.monotonic() >= until:
                raise
            time.sleep(_AGAIN_S)


def _connected(path: str) -> socket.socket:
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    line.settimeout(_BEGIN_S)
    try:
        _connect(line, path)
        uid = struct.unpack("3i", line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1]
    except (BlockingIOError, TimeoutError):
        line.close()
        raise NotAnswered("it has too many others to answer") from None
    except OSError:
        line.close()
        raise NoAgent from None
    if uid:
        line.close()
        raise NotAnswered(f"it is user {uid}'s and not root's")
    return line

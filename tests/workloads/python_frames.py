"""Leaks connections from places that it is told, and says before each which functions are on its stack.

Usage: python_frames.py PORT. Each line of input is a place and a number; each line of output is a JSON object: ``port``
of the connection, ``codes``, the addresses of the code objects of its frames, innermost first (id() in CPython), and
``pid``. It runs on Python 3.8 and later.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Callable, Optional

HOST, PORT = "127.0.0.1", int(sys.argv[1])
kept: list[socket.socket] = []


def codes(frame: Optional[FrameType]) -> list[int]:
    found: list[int] = []
    while frame is not None:
        found.append(id(frame.f_code))
        frame = frame.f_back
    return found


def leak() -> None:
    connection = socket.socket()
    connection.connect((HOST, PORT))
    told = codes(sys._getframe())
    connection.send(b"x")
    kept.append(connection)
    line = {"port": connection.getsockname()[1], "codes": told, "pid": os.getpid()}
    print(json.dumps(line), flush=True)


def nested(depth: int) -> None:
    if depth > 0:
        nested(depth - 1)
    else:
        leak()


def generator(depth: int) -> Iterator[None]:
    if depth > 0:
        yield from generator(depth - 1)
    else:
        leak()
        yield


async def coroutine(depth: int) -> None:
    if depth > 0:
        await coroutine(depth - 1)
    else:
        leak()


def callback(depth: int) -> None:
    def inner(_: int) -> int:
        if depth > 0:
            callback(depth - 1)
        else:
            leak()
        return 0

    sorted([0], key=inner)


class Method:
    def __init__(self, depth: int) -> None:
        if depth > 0:
            Method(depth - 1)
        else:
            [leak() for _ in "x"]  # type: ignore[func-returns-value]


def serve() -> None:
    for line in sys.stdin:
        place, number = line.split()
        run(place, int(number))


def run(place: str, number: int) -> None:
    if place == "thread":
        thread = threading.Thread(target=nested, args=(number,))
        thread.start()
        thread.join()
    elif place == "generator":
        list(generator(number))
    elif place == "coroutine":
        asyncio.run(coroutine(number))
    elif place == "fork":
        if not os.fork():
            leak()
            os.read(0, 1)
            os._exit(0)
    elif place == "exec":
        subprocess.Popen([sys.executable, __file__, str(PORT), "nested", str(number)])
    else:
        places: dict[str, Callable[[int], object]] = {"nested": nested, "callback": callback, "method": Method}
        places[place](number)


if len(sys.argv) > 2:
    threading.Event().wait(float(sys.argv[3]) / 1000)
    nested(3)
    os.read(0, 1)
else:
    serve()

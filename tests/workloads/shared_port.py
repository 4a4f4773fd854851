# SPDX-License-Identifier: Apache-2.0
"""Processes that share a port (SO_REUSEPORT), each with a listening socket of its own.

One serves, the argument's number of others never accept. The clients hang up. The conversation is that of workload.h.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
import threading
import time
from typing import NoReturn

CLIENTS = 24


def say(**words: object) -> None:
    os.write(1, (json.dumps(words) + "\n").encode())


def wait_for(step: str) -> None:
    say(event="waiting", next=step, t=time.time())
    if sys.stdin.readline().strip() in ("", "quit"):
        sys.exit(0)


def listen(port: int) -> socket.socket:
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    one.bind(("127.0.0.1", port))
    one.listen(64)
    return one


def serve(listener: socket.socket) -> NoReturn:
    while True:
        threading.Thread(target=read_to_the_end, args=listener.accept()[:1], daemon=True).start()


def read_to_the_end(connection: socket.socket) -> None:
    with connection:
        while connection.recv(100):
            pass


def stand_still(listener: socket.socket) -> NoReturn:
    while True:
        signal.pause()
        assert listener


def start(role: str, port: int) -> int:
    ready, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.alarm(300)
        listener = listen(port)
        say(event="process", role=role, pid=os.getpid())
        os.write(told, b"1")
        serve(listener) if role == "serves" else stand_still(listener)
    os.read(ready, 1)
    return pid


def hang_up(client: socket.socket) -> None:
    client.sendall(b"x" * 20)
    client.shutdown(socket.SHUT_WR)
    gone = select.poll()
    gone.register(client, select.POLLOUT)
    gone.poll(60_000)


def main() -> None:
    signal.alarm(300)
    say(event="process", role="program", pid=os.getpid())
    with socket.socket() as any_port:
        any_port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        any_port.bind(("127.0.0.1", 0))
        port = any_port.getsockname()[1]
        roles = ["serves", *("stands" for _ in range(int(sys.argv[1])))]
        children = [start(role, port) for role in roles]
    say(event="port", port=port)
    try:
        wait_for("clients come and go")
        clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(CLIENTS)]
        for client in clients:
            hang_up(client)
        wait_for("end")
    finally:
        for pid in children:
            os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()

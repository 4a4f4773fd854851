# SPDX-License-Identifier: Apache-2.0
"""A Python client that keeps idle connections, in the conversation of workload.h; the peer is a forked child."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import time
from typing import NoReturn


def say(**words: object) -> None:
    os.write(1, (json.dumps(words) + "\n").encode())


def wait_for(step: str) -> None:
    say(event="waiting", next=step, t=time.time())
    line = sys.stdin.readline().strip()
    if line in ("", "quit"):
        sys.exit(0)


def say_socket(event: str, role: str, connection: socket.socket) -> None:
    local, remote = ("{}:{}".format(*name[:2]) for name in (connection.getsockname(), connection.getpeername()))
    fd = connection.fileno()
    inode = os.fstat(fd).st_ino
    say(event=event, role=role, pid=os.getpid(), fd=fd, inode=inode, local=local, remote=remote, t=time.time())


def serve(listener: socket.socket, orders: int, done: int) -> NoReturn:
    """The peer: answers each connection with ten bytes, hangs up on all of them when told to."""
    signal.alarm(300)
    connections = []
    while os.read(orders, 1) == b"a":
        connection, _ = listener.accept()
        connection.sendall(b"0123456789")
        connections.append(connection)
    for connection in connections:
        say_socket("peer_close", "peer", connection)
        connection.close()
    os.write(done, b"d")
    time.sleep(300)
    os._exit(0)


def read_reply(connection: socket.socket) -> bytes:
    return connection.recv(10, socket.MSG_WAITALL)


def fetch(pool: list[socket.socket], address: tuple[str, int], orders: int) -> None:
    connection = socket.create_connection(address)
    os.write(orders, b"a")
    read_reply(connection)
    pool.append(connection)
    say_socket("socket", "program", connection)


def main() -> None:
    signal.alarm(300)
    say(event="process", role="program", pid=os.getpid())
    listener = socket.create_server(("127.0.0.1", 0))
    incoming, orders = os.pipe()
    done, told = os.pipe()
    peer = os.fork()
    if peer == 0:
        os.close(orders)
        serve(listener, incoming, told)
    os.close(incoming)
    say(event="process", role="peer", pid=peer)
    address = listener.getsockname()
    listener.close()
    pool: list[socket.socket] = []
    try:
        wait_for("open")
        worker = threading.Thread(target=fetch, args=(pool, address, orders), name="fetcher")
        worker.start()
        worker.join()
        fetch(pool, address, orders)
        wait_for("peer hangs up")
        os.write(orders, b"q")
        os.read(done, 1)
        wait_for("end")
    finally:
        os.kill(peer, signal.SIGKILL)


if __name__ == "__main__":
    main()

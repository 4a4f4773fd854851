# SPDX-License-Identifier: Apache-2.0
"""Keeps a connection whose peer hangs up, when led to (tests/advice/led.py). Its arguments: any word, the port."""

import socket
import sys

kept: list[socket.socket] = []


def read_answer(connection: socket.socket) -> bytes:
    return connection.recv(10)


def fetch_price(port: int) -> None:
    connection = socket.create_connection(("127.0.0.1", port))
    connection.sendall(b"price?\n")
    read_answer(connection)
    kept.append(connection)


if __name__ == "__main__":
    print("ready", flush=True)
    sys.stdin.readline()
    fetch_price(int(sys.argv[2]))
    print("done", flush=True)
    sys.stdin.readline()

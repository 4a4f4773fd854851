"""For each line on stdin leaks three sockets to a server that hangs up, and says what it did in a line of JSON."""

import json
import os
import socket
import sys
import threading


def serve(listener: socket.socket) -> None:
    """Answer each connection with a byte and hang up."""
    while True:
        connection, _ = listener.accept()
        connection.sendall(b"x")
        connection.close()


def fetch_quote(port: int) -> socket.socket:
    """Read the answer and the end of it; the socket is forgotten open."""
    connection = socket.create_connection(("127.0.0.1", port))
    while connection.recv(1):
        pass
    return connection


def count_close_wait(port: int) -> int:
    """What the kernel lists: sockets in CLOSE_WAIT (8) with this remote port."""
    with open("/proc/self/net/tcp", encoding="ascii") as file:
        rows = [line.split() for line in file.readlines()[1:]]
    return sum(row[3] == "08" and int(row[2].split(":")[1], 16) == port for row in rows)


listener = socket.create_server(("127.0.0.1", 0))
port = listener.getsockname()[1]
threading.Thread(target=serve, args=(listener,), daemon=True).start()
kept: list[socket.socket] = []
print(json.dumps({"pid": os.getpid()}), flush=True)
for _ in sys.stdin:
    kept += [fetch_quote(port) for _ in range(3)]
    print(json.dumps({"close_wait": count_close_wait(port), "function": fetch_quote.__name__}), flush=True)

"""Closes a descriptor beneath its object, so that the next socket gets its number. Word: the port to connect to."""

import os
import socket
import sys

peer = ("127.0.0.1", int(sys.argv[1]))
stale = socket.create_connection(peer)
os.close(stale.fileno())
fresh = socket.create_connection(peer)
assert fresh.fileno() == stale.fileno()
print("HOLDER fresh", fresh.getsockname()[1])
print("READY", flush=True)
sys.stdin.readline()

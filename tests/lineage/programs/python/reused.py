"""Closes a descriptor beneath its object, and C code gets its number. Words: the port, which kind the object is of.

``waits``: a connection whose calls wait, while those of the C code's do not. ``unix``: a socket of another family.
``alike``: nothing tells the two apart.
"""

import ctypes
import os
import socket
import struct
import sys

libc = ctypes.CDLL(None, use_errno=True)
peer = ("127.0.0.1", int(sys.argv[1]))
stale = socket.socket(socket.AF_UNIX) if sys.argv[2] == "unix" else socket.create_connection(peer)
number = stale.fileno()
os.close(number)
assert libc.socket(socket.AF_INET, socket.SOCK_STREAM, 0) == number
address = struct.pack("<H", socket.AF_INET) + struct.pack(">H", peer[1]) + socket.inet_aton(peer[0]) + bytes(8)
assert libc.connect(number, address, len(address)) == 0
if sys.argv[2] == "waits":
    os.set_blocking(number, False)
with socket.fromfd(number, socket.AF_INET, socket.SOCK_STREAM) as again:
    print("HOLDER c", again.getsockname()[1])
print("READY", flush=True)
sys.stdin.readline()

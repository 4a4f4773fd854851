"""Holds sockets deep in lists, and has memory that looks like an exception that holds them nearer, but is none.

C code has such memory: the state of the module _socket begins with the addresses of two types, and each socket refers
to it. Read as an object, its type is socket.herror, and its count of references is an address.
Words: the port to connect to.
"""

import ctypes
import socket
import sys

REAL = []
STRERROR = 80
DEPTH = 200
REAL_HEADER = id(REAL) - 16
ADDRESS_BELOW_4_GB = 0x0E35_B170


def words_at(address):
    """A view of the word there."""
    return ctypes.c_ulong.from_address(address)


class Lookalike:
    """Words in front of the object, as the collector has them, its count of references, and its type."""

    def __init__(self, following, previous, count, held):
        self.memory = bytearray(512)
        base = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        place = (base + 15 & ~15) + 64
        for offset, word in ((-16, following), (-8, previous), (0, count), (8, id(socket.herror)), (STRERROR, held)):
            words_at(place + offset).value = word
        self.view = (ctypes.c_ulong * 32).from_buffer(self.memory, place - base)


KINDS = {
    "count is an address": (0, 0, ADDRESS_BELOW_4_GB),
    "count is an address, after text": (0x6D6F7265, 0x740073686F746E, ADDRESS_BELOW_4_GB),
    "not known to the collector": (0, 0, 2),
    "after text": (0x6D6F7265, 0x740073686F746E, 2),
    "in front of another": (REAL_HEADER, REAL_HEADER, 2),
}
behind = []
near = []
for kind, head in KINDS.items():
    sock = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    print("HOLDER", kind.replace(" ", "-"), sock.getsockname()[1])
    near.append(Lookalike(*head, id(sock)))
    for _ in range(DEPTH):
        sock = [sock]
    behind.append(sock)
    del sock
print("READY", flush=True)
sys.stdin.readline()

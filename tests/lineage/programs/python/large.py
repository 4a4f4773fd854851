"""Fills its heap up to so many MB with objects, and holds one socket. Words: the port to connect to, MB."""

import resource
import socket
import sys


class Record:
    def __init__(self, number):
        self.number = number
        self.parts = [number, str(number)]
        self.names = {"key": number}


class Keeper:
    def __init__(self, sock):
        self.sock = sock


def resident():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


records = []
while resident() < int(sys.argv[2]):
    records.extend(map(Record, range(len(records), len(records) + 10000)))
keeper = Keeper(socket.create_connection(("127.0.0.1", int(sys.argv[1]))))
print("HOLDER large", keeper.sock.getsockname()[1])
print("READY", flush=True)
sys.stdin.readline()

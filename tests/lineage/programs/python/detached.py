"""Has a connection by its number alone. Word: the port to connect to."""

import socket
import sys

made = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
print("HOLDER detached", made.getsockname()[1])
number = made.detach()
print("READY", flush=True)
sys.stdin.readline()

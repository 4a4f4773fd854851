"""The heap of CPython, read from outside: who holds a socket. It needs numpy, and runs in a worker only."""

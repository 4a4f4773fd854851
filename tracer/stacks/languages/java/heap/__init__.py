"""The heap of a HotSpot JVM, read from outside: who holds a socket. It needs numpy, and runs in a worker only."""

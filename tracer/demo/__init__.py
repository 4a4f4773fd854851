"""A small client that leaks sockets, and its server, for `closetrace demo`."""

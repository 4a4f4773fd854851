"""A small leaking client and its server, for `closetrace demo`."""

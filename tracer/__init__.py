"""closetrace: names the code path that left TCP sockets in CLOSE_WAIT."""

__version__ = "0.1.0"

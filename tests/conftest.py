"""For all tests: whatever started them, signals have their usual effect, also in the programs that they start.

A shell has the background jobs of a script ignore SIGINT and SIGQUIT, and what is ignored is inherited (POSIX, "Shell
Command Language", asynchronous lists). Tests that send these signals would wait for nothing.
"""

from __future__ import annotations

import signal

signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)

"""``python -m tracer``, which the closetrace command runs, isolated; starts itself again that way if it is not.

So a bcc or a click in the current directory or in PYTHONPATH is not imported. Two things cannot be changed from here:
what python imports when it starts (sitecustomize), and which ``tracer`` it found. The command, ``tracer/closetrace``,
starts python isolated.
"""

import os
import sys

if not sys.flags.isolated:
    os.execv(sys.executable, [sys.executable, "-IB", __file__, *sys.argv[1:]])

if not __package__:  # run by path: this package comes from beside this file, and nothing else does
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
    import tracer  # noqa: F401

    del sys.path[0]

from tracer import earliest

earliest.catch()  # first of all: what follows takes a while

from pathlib import Path  # noqa: E402

from tracer.cli import main  # noqa: E402

Path("/proc/self/comm").write_text("closetrace")  # for ps, top and pgrep; it would be python3
main()

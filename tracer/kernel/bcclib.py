"""Imports bcc, and captures what its library prints. The compiler and kprobes use it."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

from tracer.errors import HostUnsupported


def require_bcc() -> Any:
    """Return bcc's Python module. Raises HostUnsupported that names the packages to install."""
    try:
        import bcc  # slow, and absent on hosts where doctor must still run
    except ImportError:
        raise HostUnsupported(
            "bcc's Python module is missing: install python3-bpfcc (apt) or python3-bcc (dnf), "
            f"for the python that runs closetrace ({sys.executable})"
        ) from None
    return bcc


@contextlib.contextmanager
def quietly() -> Iterator[Callable[[], str]]:
    """Capture what bcc and LLVM write to descriptors 1 and 2. Yields a function that returns the text so far."""
    import tempfile

    with tempfile.TemporaryFile() as sink:
        saved = os.dup(1), os.dup(2)
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(sink.fileno(), 1)
        os.dup2(sink.fileno(), 2)

        def said() -> str:
            sink.seek(0)
            return sink.read().decode(errors="replace")

        try:
            yield said
        finally:
            os.dup2(saved[0], 1)
            os.dup2(saved[1], 2)
            os.close(saved[0])
            os.close(saved[1])

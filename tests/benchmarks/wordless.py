"""closetrace whose programs in the kernel tell no interpreters' frames: what those cost is measured against it.

``python -m tests.benchmarks.wordless ARGUMENT...``: arguments as closetrace's.
"""

from __future__ import annotations

from collections.abc import Sequence
from unittest import mock

from tracer import cli
from tracer.kernel.source import Wanted
from tracer.session import session
from tracer.session.request import Request
from tracer.stacks.target.process import Process


def _wanted(request: Request, processes: Sequence[Process]) -> Wanted:
    return request.wanted


if __name__ == "__main__":
    with mock.patch.object(session, "_wanted", _wanted):
        cli.main()

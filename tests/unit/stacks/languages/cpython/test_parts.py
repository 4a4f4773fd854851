"""What Python's loops, servers and pools do, by function and file."""

from __future__ import annotations

import pytest

from tracer.stacks.language import Part
from tracer.stacks.languages.cpython import is_standard
from tracer.stacks.languages.cpython.parts import part

LIB = "/usr/lib/python3.11"
SITE = "/opt/venv/lib/python3.12/site-packages"


@pytest.mark.parametrize(
    ("function", "file", "expected"),
    [
        ("BaseEventLoop._run_once", f"{LIB}/asyncio/base_events.py", Part.LOOP),
        ("Handle._run", f"{LIB}/asyncio/events.py", Part.LOOP),
        ("_run", f"{LIB}/asyncio/events.py", Part.LOOP),
        ("BaseSelectorEventLoop.sock_recv", f"{LIB}/asyncio/selector_events.py", Part.OTHER),
        ("StreamReader.read", f"{LIB}/asyncio/streams.py", Part.OTHER),
        ("EpollSelector.select", f"{LIB}/selectors.py", Part.IDLE),
        ("EpollSelector.register", f"{LIB}/selectors.py", Part.OTHER),
        ("_worker", f"{LIB}/concurrent/futures/thread.py", Part.IDLE),
        ("_WorkItem.run", f"{LIB}/concurrent/futures/thread.py", Part.LOOP),
        ("ThreadingMixIn.process_request_thread", f"{LIB}/socketserver.py", Part.LOOP),
        ("SyncWorker.handle_request", f"{SITE}/gunicorn/workers/sync.py", Part.LOOP),
        ("SyncWorker.wait", f"{SITE}/gunicorn/workers/sync.py", Part.IDLE),
        ("Server.main_loop", f"{SITE}/uvicorn/server.py", Part.LOOP),
        ("socket.recv", f"{SITE}/gevent/_socket3.py", Part.OTHER),
        ("run", "/srv/app/jobs.py", Part.OTHER),
        ("run", "/srv/app/asyncio_events.py", Part.OTHER),
        ("select", "/srv/app/selectors.py", Part.OTHER),
        ("Crew.join", "/srv/app/threading.py", Part.OTHER),
        ("Thread.join", f"{LIB}/threading.py", Part.JOINS),
        ("fetch_job", "/srv/app/rq/jobs.py", Part.OTHER),
        ("Worker.work", f"{SITE}/rq/worker.py", Part.LOOP),
    ],
)
def test_a_loop_is_known_by_function_and_file(function: str, file: str, expected: Part) -> None:
    """A program's own function of the same name is none."""
    assert part(function, file, is_standard(file)) is expected

"""Event loops, servers and worker pools of Python, by the functions in which they call the program or wait for work."""

from __future__ import annotations

import re

from tracer.stacks.language import Part

_ANY = r".*"
_LOOPS = (
    # The standard library.
    (r"/asyncio/base_events\.py", r"run_forever|run_until_complete|_run_once"),
    (r"/asyncio/events\.py", r"_run"),
    (r"/asyncio/runners\.py", r"run"),
    (r"/socketserver\.py", r"serve_forever|_handle_request_noblock|process_request\w*|finish_request"),
    (r"/concurrent/futures/(?:thread|process)\.py", r"run|_process_worker"),
    (r"/multiprocessing/pool\.py", r"worker"),
    # Event loops.
    (r"/gevent/(?:hub|greenlet|baseserver|server|pywsgi|threadpool)\.py", _ANY),
    (r"/eventlet/(?:hubs/\w+|greenthread|wsgi)\.py", _ANY),
    (r"/trio/_core/_run\.py", r"run|unrolled_run"),
    (r"/curio/kernel\.py", r"run|_run_coro"),
    (r"/tornado/(?:ioloop|platform/asyncio)\.py", r"start|_run_callback|run_sync|_handle_events"),
    (r"/twisted/internet/(?:base|asyncioreactor)\.py", r"run|mainLoop|runUntilCurrent"),
    (r"/twisted/internet/(?:epoll|poll|select)reactor\.py", _ANY),
    (r"/kombu/asynchronous/hub\.py", r"run_forever|run_once|create_loop"),
    # Servers and workers.
    (r"/gunicorn/(?:arbiter|app/\w+|workers/\w+)\.py", _ANY),
    (r"/uvicorn/(?:server|main|_compat|supervisors/\w+)\.py", _ANY),
    (r"/hypercorn/(?:asyncio|trio)/(?:run|__init__)\.py", _ANY),
    (r"/werkzeug/serving\.py", _ANY),
    (r"/waitress/(?:task|server|channel|wasyncore)\.py", _ANY),
    (r"/cheroot/(?:server|connections|workers/threadpool)\.py", _ANY),
    (r"/aiohttp/(?:web|web_runner|web_protocol)\.py", r"run_app|_run_app|start"),
    (r"/grpc/_server\.py", r"_serve|_call_behavior|_unary_response_in_pool"),
    (r"/(?:celery/worker|celery/concurrency|billiard|rq)/\w+\.py", _ANY),
)
_IDLE = (
    (r"/selectors\.py", r"select"),
    (r"/concurrent/futures/thread\.py", r"_worker"),
    (r"/gunicorn/workers/sync\.py", r"wait"),
)
_JOINS = ((r"/threading\.py", r"join|_shutdown"),)


def _compiled(rows: tuple[tuple[str, str], ...]) -> re.Pattern[str]:
    """One pattern for ``FILE FUNCTION``; the function may be qualified."""
    return re.compile("|".join(rf"{file} (?:.*\.)?(?:{name})$" for file, name in rows))


_LOOP_PATTERN, _IDLE_PATTERN, _JOINS_PATTERN = _compiled(_LOOPS), _compiled(_IDLE), _compiled(_JOINS)


def part(function: str, file: str) -> Part:
    """What a function does for the program, by its name and its file."""
    text = f"{file} {function}"
    if _JOINS_PATTERN.search(text):
        return Part.JOINS
    if _IDLE_PATTERN.search(text):
        return Part.IDLE
    return Part.LOOP if _LOOP_PATTERN.search(text) else Part.OTHER

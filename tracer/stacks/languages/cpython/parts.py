"""Event loops, servers and worker pools of Python, by the functions in which they call the program or wait for work."""

from __future__ import annotations

import re

from tracer.stacks.language import Part

_ANY = r".*"
_STANDARD_LOOPS = (
    (r"/asyncio/base_events\.py", r"run_forever|run_until_complete|_run_once"),
    (r"/asyncio/events\.py", r"_run"),
    (r"/asyncio/runners\.py", r"run"),
    (r"/socketserver\.py", r"serve_forever|_handle_request_noblock|process_request\w*|finish_request"),
    (r"/concurrent/futures/(?:thread|process)\.py", r"run|_process_worker"),
    (r"/multiprocessing/pool\.py", r"worker"),
)
_LOOPS = (
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
    (r"/(?:celery/worker|celery/concurrency|billiard)/\w+\.py", _ANY),
    (r"-packages/rq/\w+\.py", _ANY),
)
_STANDARD_IDLE = (
    (r"/selectors\.py", r"select"),
    (r"/concurrent/futures/thread\.py", r"_worker"),
)
_IDLE = ((r"/gunicorn/workers/sync\.py", r"wait"),)
_JOINS = ((r"/threading\.py", r"join|_shutdown"),)


def _compiled(rows: tuple[tuple[str, str], ...]) -> re.Pattern[str]:
    """One pattern for ``FILE FUNCTION``; the function may be qualified."""
    return re.compile("|".join(rf"{file} (?:.*\.)?(?:{name})$" for file, name in rows))


_STANDARD = (
    (Part.JOINS, _compiled(_JOINS)),
    (Part.IDLE, _compiled(_STANDARD_IDLE)),
    (Part.LOOP, _compiled(_STANDARD_LOOPS)),
)
_INSTALLED = ((Part.IDLE, _compiled(_IDLE)), (Part.LOOP, _compiled(_LOOPS)))


def part(function: str, file: str, is_standard: bool) -> Part:
    """What a function does for the program, by its name and its file; ``is_standard``: of the standard library.

    A program may have a selectors.py or a threading.py of its own.
    """
    text = f"{file} {function}"
    return next((one for one, known in (_STANDARD if is_standard else _INSTALLED) if known.search(text)), Part.OTHER)

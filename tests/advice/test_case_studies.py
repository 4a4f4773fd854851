"""The case studies of docs/case-studies in Python and JavaScript: services that leak, and the same cured.

Oracles: ss, and the line of the program's source that makes the mistake.
"""

from __future__ import annotations

import http.client
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import pytest

from tests.advice.peer import Peer
from tests.advice.programs import HERE, command
from tests.live.closetrace_command import END_LIMIT_S, SLOW, let_linger, tracing
from tests.live.oracles import ss_close_wait

IDLE_S = 2
CUT_SHORT = "500/600000/180000"
LARGE_ERROR = "503/100000"


def over_http(*paths: str) -> Callable[[int], None]:
    """Asks the service for each path, over one connection as far as it lets."""

    def load(port: int) -> None:
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=30 * SLOW)
        for path in paths:
            client.request("GET", path)
            client.getresponse().read()
        client.close()

    return load


def over_lines(port: int) -> None:
    """Asks for a price, for one that is refused, and for a third without waiting, and hangs up: three times."""
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", port), timeout=30 * SLOW) as client:
            client.sendall(b"200/12\n")
            assert client.recv(100).startswith(b"x")
            client.sendall(b"404/20\n")
            assert client.recv(100).startswith(b"?")
            client.sendall(b"200/12\n")


@dataclass(frozen=True)
class Study:
    """A service, how it is cured and loaded, and what must be told: verdict, sockets, function, its line's text."""

    program: str
    cure: str
    load: Callable[[int], None]
    count: int
    verdict: str
    stack: Optional[str] = None
    function: str = ""
    text: str = ""
    targets: tuple[str, ...] = ("",)


STUDIES = (
    Study(
        "stock_service.py",
        "closing",
        over_http(*["/stock/200/12"] * 2, *["/stock/404/20"] * 4, "/stock/200/12"),
        4,
        "not-released",
        "last",
        "ask_supplier",
        "    response = requests.get(",
    ),
    Study(
        "watch_service.py",
        "closing",
        over_http("/check", "/check"),
        4,
        "reading-paused",
        "opened",
        "status_of",
        "    response = await session.get(",
        targets=(f"/{CUT_SHORT}",) * 2,
    ),
    Study(
        "gateway_service.js",
        "resuming",
        over_lines,
        3,
        "eof-ignored",
        "sent",
        "refuse",
        "  client.write(`? ",
    ),
    Study(
        "basket_service.js",
        "resuming",
        over_http(*["/basket/200/12"] * 2, *[f"/basket/{LARGE_ERROR}"] * 4, "/basket/200/12"),
        4,
        "idle-in-pool",
    ),
)
STACKS = {"last": "stack", "opened": "opened_stack", "sent": "sent_stack"}


@contextmanager
def service(*words: str) -> Iterator[tuple[int, int]]:
    """The pid and the port of the service, which runs until the end of the block."""
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.pid, int(process.stdout.readline())
        finally:
            process.kill()


def line_of(program: str, text: str) -> int:
    """The number of the only line of the program that begins with the text."""
    (path,) = HERE.glob(f"*/{program}")
    (number,) = (n for n, line in enumerate(path.read_text().splitlines(), 1) if line.startswith(text))
    return number


def until_hung_up(pid: int, count: int) -> None:
    """Waits until as many sockets of the process are in CLOSE_WAIT, as ss lists them."""
    end = time.monotonic() + END_LIMIT_S
    while len(ss_close_wait({pid})) != count:
        assert time.monotonic() < end, ss_close_wait({pid})
        time.sleep(0.1)


def assert_told(study: Study, pid: int, report: dict[str, Any]) -> None:
    """One site with the sockets of ss, and the line that the study names, or the library's cure where it names none."""
    (site,) = report["sites"]
    assert (site["verdict"], site["count"]) == (study.verdict, study.count), site
    assert {(one["local"], one["remote"]) for one in site["sockets"]} == set(ss_close_wait({pid}))
    application = site["application"]
    if study.stack is None:
        assert "response.resume()" in site["advice"]
        assert not [f for f in site["sent_stack"] if Path(f["file"] or "").name == study.program]
        return
    assert application["stack"] == study.stack
    frame = site[STACKS[study.stack]][application["index"]]
    told = (frame["function"], Path(frame["file"]).name, frame["line"])
    assert told == (study.function, study.program, line_of(study.program, study.text))


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: re.sub(r"\W.*", "", study.program))
def test_the_service_leaks_as_told_and_not_when_cured(study: Study) -> None:
    """The report has the sockets of ss and the line of the mistake; the cured service has none by either."""
    with Peer(IDLE_S) as peer, ExitStack() as stack:
        targets = [f"http://127.0.0.1:{peer.port}{target}" for target in study.targets]
        runs = [stack.enter_context(service(*command(study.program), *more, *targets)) for more in ((), (study.cure,))]
        traces = [stack.enter_context(tracing(pid, "--verbose")) for pid, _ in runs]
        for trace in traces:
            trace.until(lambda trace=trace: "has an interpreter" in trace.err(), "the interpreter is known")
        for _, port in runs:
            study.load(port)
        (leaking, _), (cured, _) = runs
        until_hung_up(leaking, study.count)
        until_hung_up(cured, 0)
        let_linger()
        leaked, nothing = (trace.stop().report() for trace in traces)
        assert_told(study, leaking, leaked)
        assert ss_close_wait({cured}) == {}
        assert nothing["sites"] == []

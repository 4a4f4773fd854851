"""Records the stories that the README tells: ``sudo python -m tests.advice.stories docs/transcripts [java ...]``.

Each is a real run. Of the report only this changes: paths begin at /srv in place of the checkout, the host is called
web-1, and processes of this machine that have nothing to do with it are not named.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable

from tests.advice.peer import Peer
from tests.advice.programs import command
from tests.advice.test_case_studies import IDLE_S, STUDIES, Study, service, until_hung_up
from tests.live.closetrace_command import REPOSITORY, let_linger, run_closetrace, tracing
from tests.live.namespaces import network_namespace_named
from tests.systems.chain import AFTER_FIN_S, PROXY, SHOP_URL, chain
from tests.systems.software import fetch

_NOT_TOLD = {"processes": 0, "pids": [], "names": [], "matters": False}


def _cleaned(report: dict[str, Any]) -> str:
    report["host"].update(hostname="web-1", kernel="6.12.0")
    report["reconciliation"]["unreadable"].update(_NOT_TOLD)
    report["reconciliation"]["complete"] = True
    report["losses"]["descriptors"] = 0
    for one in (report, *report["sites"]):
        one.pop("unconfined", None)
        for process in one.get("processes", ()):
            process.pop("cgroup", None)
    return json.dumps(report).replace(str(REPOSITORY), "/srv") + "\n"


def _traced(pid: int, load: Callable[[], None], until: Callable[[], None]) -> dict[str, Any]:
    with tracing(pid, "--verbose") as trace:
        trace.until(lambda: "has an interpreter" in trace.err(), "the interpreter is known")
        load()
        until()
        let_linger()
        return trace.stop().report()


def _study(study: Study) -> dict[str, Any]:
    with Peer(IDLE_S) as peer:
        targets = [f"http://127.0.0.1:{peer.port}{target}" for target in study.targets]
        with service(*command(study.program), *targets) as (pid, port):
            return _traced(pid, lambda: study.load(port), lambda: until_hung_up(pid, study.count))


def java() -> dict[str, Any]:
    """Tomcat, nginx, Tomcat: eight requests at a time."""
    with network_namespace_named("stories") as netns, chain(netns) as pid, tracing(pid) as trace:
        trace.attached()
        fetch(netns, SHOP_URL, 400, 8)
        time.sleep(AFTER_FIN_S)
        let_linger()
        report = trace.stop().report()
    report["sites"] = [site for site in report["sites"] if site["remote"].endswith(f":{PROXY}")]
    return report


def python() -> dict[str, Any]:
    """The stock service with requests."""
    return _study(STUDIES[0])


def node() -> dict[str, Any]:
    """The gateway that forgets to resume."""
    return _study(STUDIES[2])


def demo() -> dict[str, Any]:
    """What ``make demo`` shows."""
    return run_closetrace("demo", "--json").report()


STORIES = (demo, java, python, node)


def record(folder: Path, *names: str) -> None:
    """Record those named, or all."""
    for story in STORIES:
        if not names or story.__name__ in names:
            (folder / f"{story.__name__}.json").write_text(_cleaned(story()), encoding="utf-8")


if __name__ == "__main__":
    record(Path(sys.argv[1]), *sys.argv[2:])
    subprocess.run([sys.executable, str(REPOSITORY / "docs" / "make_transcripts.py")], check=True)

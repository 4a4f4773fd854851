"""TIME_WAIT is not a leak. closetrace and ss must agree on which end has it, or that no end has."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.live.closetrace_command import LINGER, Trace, let_linger, run_closetrace
from tests.live.oracles import ss
from tests.systems.chain import PROXY
from tests.systems.software import nginx, program

SERVER = f"127.0.0.1:{PROXY}"
HTTP_URL_CONNECTION_IDLE_S = 5  # sun.net.www.http.KeepAliveCache.LIFETIME


def _timeline(netns: str, how: str, keepalive_s: int, wait_s: float) -> tuple[dict[str, Any], list[str], int]:
    """The connection in ``timeline --json``, the ends that ss shows in TIME-WAIT, and the gate's exit code."""
    with nginx(netns, PROXY, keepalive_s), program(netns, "WhoWaits", "127.0.0.1", str(PROXY), how) as one:
        pid = str(one.pid())
        with (
            Trace("timeline", "--pid", pid, "--json") as trace,
            Trace("--pid", pid, *LINGER, "--fail-over", "0") as gate,
        ):
            trace.attached()
            gate.attached()
            if how == "exits":
                one.step()
                one.leave()
            else:
                one.all_steps()
            time.sleep(wait_s)
            let_linger()
            waiting = [line.local for line in ss(netns=netns) if line.state == "TIME-WAIT"]
            blocks = trace.stop().lines()
            code = gate.stop().code
    (block,) = (json.loads(line) for line in blocks)
    return block, waiting, code


def _states(block: dict[str, Any]) -> list[str]:
    return [event["event"] for event in block["timeline"] if event["event"].isupper()]


def _told(block: dict[str, Any]) -> str:
    return "\n".join(event["text"] for event in block["timeline"])


@pytest.mark.parametrize("how", ["client-closes", "exits"])
def test_who_closes_first_waits(own_netns: str, how: str) -> None:
    """If the client closes, or exits, its end is in TIME_WAIT. The timeline says that the client closed."""
    block, waiting, code = _timeline(own_netns, how, 60, 0)
    assert waiting == [block["local"]]
    assert "FIN_WAIT1" in _states(block)
    assert "TIME_WAIT" in _told(block)
    assert "CLOSE_WAIT" not in _states(block)
    assert block["closed_by"]
    assert ("exit" in block["closed_by"]) == (how == "exits")
    assert code == 0


def test_server_closes_first(own_netns: str) -> None:
    """With Connection: close, nginx closes first and has the TIME_WAIT. The client is briefly in CLOSE_WAIT."""
    block, waiting, code = _timeline(own_netns, "server-closes", 60, 0)
    assert waiting == [SERVER]
    assert _states(block)[-3:] == ["CLOSE_WAIT", "LAST_ACK", "CLOSE"]
    assert "TIME_WAIT" not in _told(block)
    assert code == 0


def test_reset_leaves_nothing(own_netns: str) -> None:
    """With SO_LINGER 0 the client sends RST, and no end is in TIME_WAIT."""
    block, waiting, code = _timeline(own_netns, "client-resets", 60, 0)
    assert waiting == []
    assert not {"FIN_WAIT1", "CLOSE_WAIT", "LAST_ACK"} & set(_states(block))
    assert block["reset_by"] == "local"
    assert "TIME_WAIT" not in _told(block)
    assert code == 0


def test_keep_alive_cache(own_netns: str) -> None:
    """If nginx waits longer, HttpURLConnection's cache closes first: no CLOSE_WAIT, and TIME_WAIT at the client."""
    block, waiting, _ = _timeline(own_netns, "keep-alive", 60, 2 * HTTP_URL_CONNECTION_IDLE_S + 1)
    assert waiting == [block["local"]]
    assert "CLOSE_WAIT" not in _states(block)


def test_census_explains(own_netns: str) -> None:
    """The census has the same counts as ss and says that TIME_WAIT is harmless."""
    with nginx(own_netns, PROXY, 60), program(own_netns, "WhoWaits", "127.0.0.1", str(PROXY), "client-closes") as one:
        one.all_steps()
        waiting = [line for line in ss(netns=own_netns) if line.state == "TIME-WAIT"]
        told = json.loads(run_closetrace("census", "--netns", own_netns, "--json").out)
        text = run_closetrace("census", "--netns", own_netns).out
    assert len(waiting) == 1
    assert {entry["state"]: entry["count"] for entry in told["states"]}["TIME_WAIT"] == 1
    assert "armless" in text

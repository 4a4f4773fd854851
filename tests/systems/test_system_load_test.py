"""A load test with HttpClient 3.1 as a gate: ``closetrace run --fail-over 0 -- java ...``."""

from __future__ import annotations

import re

import pytest

from tests.live.closetrace_command import LINGER, SLOW, run_closetrace
from tests.live.namespaces import inside
from tests.systems.chain import AFTER_FIN_S, KEEPALIVE_S, ORDER_URL, PROXY
from tests.systems.software import HTTPCLIENT_3, java, nginx

# After its requests the program stays alive for this time, like a load test that continues.
STEP = {"WORKLOAD_STEP_MS": str(int((AFTER_FIN_S + 2) * 1000 * SLOW))}


def _gate(netns: str, manager: str, cure: str) -> tuple[int, str]:
    words = (*inside(netns), *java("LoadTest", ORDER_URL, "5", manager, cure, jars=HTTPCLIENT_3))
    with nginx(netns, PROXY, KEEPALIVE_S):
        ran = run_closetrace("run", *LINGER, "--fail-over", "0", "--", *words, env=STEP)
    assert "Traceback" not in ran.err
    return ran.code, ran.out


@pytest.mark.parametrize("manager", ["simple", "pooled"])
def test_gate_fails_with_the_site(netns: str, manager: str) -> None:
    """Connections that are released but not closed give exit code 3. The report names the method that posted.

    The program makes a client, with a pool of its own, for each call. So no idle connection is ever used again.
    """
    code, out = _gate(netns, manager, "none")
    assert code == 3, out
    assert "5 sockets" in out
    assert "not-released" in out
    assert re.search(r"keep\s+one\s+client\s+for\s+all\s+calls", out)
    assert "LoadTest.post" in out


@pytest.mark.parametrize("manager", ["simple", "pooled"])
@pytest.mark.parametrize("cure", ["header", "close", "idle"])
def test_gate_passes_once_cured(netns: str, manager: str, cure: str) -> None:
    """Each cure gives exit code 0: a Connection: close header, closing the connection, closeIdleConnections(0)."""
    code, out = _gate(netns, manager, cure)
    assert code == 0, out

"""Tomcat, nginx, Tomcat. The report on the first Tomcat names the servlet that keeps the connections."""

from __future__ import annotations

import time

from tests.live.closetrace_command import LINGER, Trace, let_linger, run_closetrace, tracing
from tests.live.oracles import ss_close_wait
from tests.systems.chain import AFTER_FIN_S, CURED, PROXY, SHOP_URL, chain
from tests.systems.java_oracles import assert_in_order
from tests.systems.software import fetch

REQUESTS, AT_ONCE = 400, 8


def test_servlet_is_named(netns: str) -> None:
    """Under load, the sockets are those of ss, and every stack leads to the servlet."""
    with chain(netns) as pid, tracing(pid) as trace, Trace("--pid", str(pid), *LINGER) as text:
        trace.attached()
        text.attached()
        fetch(netns, SHOP_URL, REQUESTS, AT_ONCE)
        time.sleep(AFTER_FIN_S)
        let_linger()
        seen = {pair for pair in ss_close_wait({pid}, netns) if pair[1].endswith(f":{PROXY}")}
        report = trace.stop().report()
        printed = text.stop().out
    sites = [site for site in report["sites"] if site["remote"] == f"127.0.0.1:{PROXY}"]
    assert len(seen) == AT_ONCE
    assert {(one["local"], one["remote"]) for site in sites for one in site["sockets"]} == seen
    for site in sites:
        assert (site["pid"], site["comm"], site["verdict"]) == (pid, "java", "idle-in-pool")
        assert site["stack_complete"] is True, site["stack_note"]
        assert_in_order(
            site["stack"],
            "com.acme.OrderServlet.askForStock",
            "com.acme.OrderServlet.doGet",
            "org.apache.catalina.core.StandardWrapperValve.invoke",
        )
    table = printed[printed.rindex("sockets in CLOSE_WAIT for more than") :].split("site 1:")[0]
    assert "OrderServlet.askForStock" in table, printed


def test_holder_is_named_afterwards(netns: str) -> None:
    """Traced only when all has happened: no call is seen, and the heap tells whose pool has the sockets."""
    with chain(netns) as pid:
        fetch(netns, SHOP_URL, REQUESTS, AT_ONCE)
        time.sleep(AFTER_FIN_S)
        report = run_closetrace("--pid", str(pid), "--linger", "1", "--duration", "3", "--json").report()
    (site,) = (site for site in report["sites"] if site["remote"] == f"127.0.0.1:{PROXY}")
    assert (site["count"], site["verdict"], site["stack"]) == (AT_ONCE, "idle-in-pool", [])
    assert site["application"]["stack"] == "held"
    (held,) = site["held_by"]
    assert (held["count"], held["library"], held["use"]) == (AT_ONCE, "Apache HttpClient", "idle")
    fields = [f"{link['class']}.{link['field']}" for link in held["links"]]
    (pool,) = (place for place, field in enumerate(fields) if field.endswith("HttpConnPool.available"))
    assert fields.index("com.acme.OrderServlet.pool") > pool


def test_cure(netns: str) -> None:
    """With a thread that closes idle connections, the same load leaves no socket."""
    with chain(netns, CURED) as pid, tracing(pid, "--fail-over", "0") as trace:
        trace.attached()
        fetch(netns, SHOP_URL, REQUESTS, AT_ONCE)
        time.sleep(AFTER_FIN_S)
        let_linger()
        ran = trace.stop()
    assert ran.code == 0, ran.out
    assert ran.report()["sites"] == []

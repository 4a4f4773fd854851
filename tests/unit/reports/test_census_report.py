"""The census as text: width, clean strings, changes, cut rows."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
from hypothesis import given
from hypothesis import strategies as st

from tracer.diagnose.census.counts import Census, Namespace, Selection, take
from tracer.host.inet_diag import DiagSocket
from tracer.host.tcp_settings import TcpSettings
from tracer.model.connection import Endpoint, Holder
from tracer.model.states import TcpState
from tracer.reports.json import census as census_json
from tracer.reports.text import census as text

SCHEMA = json.loads((Path(__file__).resolve().parents[3] / "docs/census.schema.json").read_text())
SETTINGS = TcpSettings(32768, 60999, frozenset(), 2, True, 60)


def sock(port: int, state: TcpState, remote: str = "10.0.0.2", inode: int = 1) -> DiagSocket:
    ends = Endpoint("10.0.0.1", port), Endpoint(remote, 443)
    return DiagSocket(1, state, *ends, inode, 0, 0, 0, timer=3, timer_ms=1000)


def census(*sockets: DiagSocket, comm: str = "java", name: str = "here") -> Census:
    return take(sockets, {1: (Holder(4121, 3, comm),)}, [Namespace(1, name, SETTINGS)], Selection(), 1_700_000_000.25)


def test_change_since_the_last_round() -> None:
    """With an earlier census each state tells its change, one that is gone too."""
    before = census(sock(40000, TcpState.ESTABLISHED), sock(40001, TcpState.LAST_ACK))
    now = census(*(sock(40000 + n, TcpState.ESTABLISHED) for n in range(3)))
    lines = [line.split() for line in text.render(now, 80, 20, before).splitlines()]
    assert ["ESTABLISHED", "3", "+2", "-", "open"] in lines
    assert next(line for line in lines if line[:1] == ["LAST_ACK"])[:4] == ["LAST_ACK", "0", "-1", "-"]
    assert "change" not in text.render(now, 80, 20)


def test_rows_are_cut() -> None:
    """No more groups than asked for, and the count of the rest; 0 shows all."""
    now = census(*(sock(40000, TcpState.ESTABLISHED, f"10.0.0.{n}") for n in range(30)))
    assert "... 25 more rows (--rows 0 shows all)" in text.render(now, 80, 5)
    assert text.render(now, 80, 0).count("-> 10.0.0.") == 30


def test_shortage_is_told_last() -> None:
    """The warning stands at the end, where a terminal shows it."""
    now = census(*(sock(port, TcpState.TIME_WAIT, inode=0) for port in range(32768, 61000)))
    last = text.render(now, 80, 20).rstrip().split("\n\n")[-1]
    assert last.startswith("WARNING: 28232 of 28232 ephemeral ports from 10.0.0.1 to 10.0.0.2:443 are in use")


@given(st.text(max_size=16), st.text(max_size=30))
def test_no_control_character_gets_through(comm: str, name: str) -> None:
    """Whatever a command or a namespace is called, the text holds printable characters and line ends alone."""
    printed = text.render(census(sock(40000, TcpState.CLOSE_WAIT), comm=comm, name=name), 80, 20)
    assert all(character.isprintable() or character == "\n" for character in printed)


def test_width_is_kept() -> None:
    """At 80 columns no line is wider, with long endpoints and command names; at 200 sentences are longer."""
    states = (TcpState.CLOSE_WAIT, TcpState.FIN_WAIT2, TcpState.TIME_WAIT, TcpState.ESTABLISHED)
    now = census(*(sock(40000 + n, state, "100.100.100.100") for n, state in enumerate(states)), comm="a" * 15)
    narrow, wide = text.render(now, 80, 20), text.render(now, 200, 20)
    assert max(map(len, narrow.splitlines())) <= 80
    assert max(map(len, wide.splitlines())) > 100
    assert "".join(narrow.split()) == "".join(wide.split())


def test_json_meets_the_schema() -> None:
    """The document is valid, with the time in RFC 3339, on one line if asked."""
    now = census(sock(40000, TcpState.CLOSE_WAIT), sock(40001, TcpState.TIME_WAIT, inode=0), comm="\x1b[31m")
    line = census_json.render(now, indent=None)
    assert "\n" not in line
    found = json.loads(line)
    jsonschema.Draft202012Validator(SCHEMA).validate(found)
    assert found["taken"] == "2023-11-14T22:13:20.250Z"
    assert found["groups"][0]["owner"] == {"kind": "process", "pid": 4121, "comm": "\x1b[31m", "others": 0}

"""Oracle: docs/report.schema.json, the contract with scripts, and its listing in docs/json.md."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.builders import (
    FAMILIES,
    NOW,
    OFFSET,
    START,
    S,
    accepted,
    actor,
    connection,
    frame,
    judged,
    report,
    stack,
    touch,
)
from tests.unit.cases import ANYTHING, HOSTILE, ONE_OF_EACH
from tracer.diagnose.sites import group, with_present
from tracer.model.connection import Connection, Endpoint, Holder, Losses
from tracer.model.finding import Ended, Verdict
from tracer.model.frame import Frame, Stack
from tracer.model.states import Op, Origin, TcpState
from tracer.model.thread import Present, Standing
from tracer.reports.json import report as json_report
from tracer.reports.times import rfc3339
from tracer.stacks.registry import all_languages

SCHEMA = json.loads((Path(__file__).parents[3] / "docs" / "report.schema.json").read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def no_number(name: str) -> float:
    """NaN and Infinity are no JSON (RFC 8259, 6)."""
    raise AssertionError(name)


def valid(*sockets: Connection, **more: Any) -> dict[str, Any]:
    """The report as a reader gets it: through JSON text, and valid."""
    found = json.loads("".join(json_report.to_text(report(*sockets, **more))), parse_constant=no_number)
    VALIDATOR.validate(found)
    return dict(found)


def test_schema_is_a_schema() -> None:
    """The contract itself is well formed."""
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_schema_knows_every_name() -> None:
    """Verdicts, states, origins and calls of the schema are those of the program."""
    defs = SCHEMA["$defs"]
    assert set(defs["verdict"]["enum"]) == {v.value for v in Verdict}
    assert set(defs["state"]["enum"]) == {s.name for s in TcpState}
    assert set(defs["origin"]["enum"]) == {o.value for o in Origin}
    assert set(defs["touch"]["properties"]["op"]["enum"]) == {o.label for o in Op}


def test_every_language_of_frames_is_documented() -> None:
    """docs/json.md lists the names that frames have: runtimes with a name of their own, and compiled code."""
    text = (Path(__file__).parents[3] / "docs" / "json.md").read_text()
    told = {known.name for known in all_languages() if known.title or known.name == Frame.language}
    assert {name for name in told if f"`{name}`" not in text} == set()
    assert "native" in told


@pytest.mark.parametrize("missing", ["verdict", "stack", "sockets", "advice"])
def test_schema_refuses_what_lacks_a_key(missing: str) -> None:
    """The schema would notice a listed key that went missing."""
    found = valid(connection())
    del found["sites"][0][missing]
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate(found)


def test_facts_of_a_site() -> None:
    """Counts, ages in seconds and times in RFC 3339 are those of the connections."""
    found = valid(connection(1), connection(2, fin=70.0))
    (site,) = found["sites"]
    assert (site["count"], site["oldest_s"], site["pid"], site["comm"]) == (2, 134.0, 100, "app")
    assert (site["verdict"], site["remote"], site["last_op"]) == ("idle-in-pool", "127.0.0.1:8081", "recv")
    first = site["sockets"][0]
    assert (first["local"], first["fd"], first["inode"], first["cookie"]) == ("127.0.0.1:40001", 11, 7001, 1)
    assert (first["close_wait_s"], first["eof_read"], first["rx_queue"]) == (134.0, False, 1)
    assert first["holders"] == [{"pid": 100, "fd": 11, "comm": "app", "relation": "owner"}]
    own = (Holder(100, 11, "app", tid=104),)
    (of_a_thread,) = valid(connection(1, holders=own))["sites"][0]["sockets"][0]["holders"]
    assert of_a_thread == {"pid": 100, "fd": 11, "tid": 104, "comm": "app", "relation": "owner"}
    assert first["opened"] == "2023-11-14T22:30:01.000000Z"
    assert first["fin"] == "2023-11-14T22:31:06.000000Z"
    assert found["plan"] == dict.fromkeys(FAMILIES, "raw_tp:x")
    assert found["lingering"] == 2


def test_timeline_in_seconds() -> None:
    """Events carry seconds since the first, origin and the thread of a local call."""
    events = valid(connection())["sites"][0]["sockets"][0]["timeline"]
    told = [(e["event"], e["t"], e["origin"], e["tid"]) for e in events]
    assert told == [
        ("connect", 0.0, "local", 100),
        ("SYN_SENT", 0.0, "local", None),
        ("ESTABLISHED", 0.001, "peer", None),
        ("send", 0.004, "local", None),
        ("recv", 0.006, "local", 100),
        ("CLOSE_WAIT", 65.0, "peer", None),
        ("now", 199.0, "unknown", None),
    ]


def test_module_is_a_base_name() -> None:
    """The module is the file's name, its path stands beside it."""
    first = valid(connection())["sites"][0]["stack"][0]
    assert (first["module"], first["module_path"]) == ("libc.so.6", "/usr/lib/x86_64-linux-gnu/libc.so.6")


def test_hostile_names_survive_as_data() -> None:
    """Control characters stay in the value but leave as escapes, and so do bytes that are no UTF-8."""
    last = touch(Op.RECV, 1.006, 150, stack=Stack((frame(HOSTILE, HOSTILE),), False, HOSTILE))
    text = "".join(json_report.to_text(report(connection(last=last), target=HOSTILE)))
    assert text.replace("\n", "").isprintable()
    assert text.isascii()
    assert json.loads(text)["target"] == HOSTILE


def test_older_sockets_have_no_time_of_opening() -> None:
    """What was before the trace is null, not guessed."""
    old = connection(preexisting=True, opened=None, last=None, fin=None, passive=None)
    one = valid(old)["sites"][0]["sockets"][0]
    assert (one["opened"], one["fin"], one["preexisting"], one["last_touch"]) == (None, None, True, None)


def test_sockets_of_the_kernels_list_alone_have_no_time_of_opening() -> None:
    """They have no record, and so no time of birth: a number stands for it."""
    bare = connection(unrecorded=True, birth_ns=12345, opened=None, last=None, fin=None, passive=None)
    one = valid(bare)["sites"][0]["sockets"][0]
    assert (one["opened"], one["recorded"], one["preexisting"]) == (None, False, False)


@pytest.mark.parametrize(("facts", "verdict", "figure"), ONE_OF_EACH)
def test_every_verdict_is_valid(facts: dict[str, Any], verdict: Verdict, figure: str) -> None:
    """A report with each verdict meets the schema."""
    assert valid(connection(**facts))["sites"][0]["verdict"] == verdict.value


FRAMES = st.builds(
    Frame,
    st.one_of(st.none(), st.text()),
    st.one_of(st.none(), st.text()),
    st.integers(-(2**63), 2**63),
    st.one_of(st.none(), st.text()),
    st.one_of(st.none(), st.integers(0, 10**6)),
    st.sampled_from([known.name for known in all_languages()]),
    st.booleans(),
    st.booleans(),
    st.one_of(st.none(), st.text()),
    st.integers(0, 2**64 - 1),
)
STACKS = st.one_of(st.none(), st.builds(Stack, st.lists(FRAMES, max_size=6).map(tuple), st.booleans(), st.none()))
ENDPOINTS = st.builds(Endpoint, st.ip_addresses().map(str), st.integers(0, 65535))


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=60)
@given(
    st.lists(st.tuples(ANYTHING, STACKS, ENDPOINTS), max_size=5),
    st.builds(Losses, st.integers(0, 9), st.integers(0, 9)),
)
def test_any_report_is_valid(sockets: list[Any], losses: Losses) -> None:
    """Whatever the recorder knows or lacks, the report meets the schema and survives JSON."""
    connections = []
    for serial, (facts, one, end) in enumerate(sockets):
        told = {**facts, "last": touch(Op.RECV, 1.006, 150, stack=one)} if facts["last"] is not None else facts
        connections.append(connection(serial, remote=end, **told))
    gone = tuple(Ended(f.connection, f.verdict, S, "closed") for f in judged(*connections))
    found = valid(*connections, losses=losses, ended_findings=gone)
    assert sum(site["count"] for site in found["sites"]) == len(connections)
    assert found["losses"]["records"] == losses.records


def test_timeline_value() -> None:
    """One connection alone has its process, its socket's facts and who closed it."""
    closed = connection(closed=touch(Op.CLOSE, 150, 0, syscall=3), ended_ns=START + 150 * S)
    found = json.loads(json_report.timeline_to_text(closed, OFFSET))
    assert (found["pid"], found["closed_by"]) == (100, "closed by worker (pid 100)")
    assert found["ended"] == rfc3339(START + 150 * S + OFFSET)
    assert found["timeline"][-1]["event"] == "gone"
    VALIDATOR.evolve(schema={**SCHEMA["$defs"]["socket"], "$defs": SCHEMA["$defs"]}).validate(found)


def test_server_side_remote() -> None:
    """Accepted sockets of one host share a site whose remote says so; each socket keeps its own."""
    found = valid(accepted(1), accepted(2))
    assert found["sites"][0]["remote"] == "10.0.0.9:*"
    assert {one["remote"] for one in found["sites"][0]["sockets"]} == {"10.0.0.9:50001", "10.0.0.9:50002"}


def test_documentation_lists_every_key() -> None:
    """docs/json.md tells of each key that the schema requires."""
    text = (Path(__file__).parents[3] / "docs" / "json.md").read_text(encoding="utf-8")
    told = set(re.findall(r"`([a-z_0-9]+)`", text))
    required = set(SCHEMA["required"])
    for part in ("site", "socket", "finding", "ended", "frame", "event"):
        required |= set(SCHEMA["$defs"][part]["required"])
    assert required <= told


def test_group_keeps_evidence() -> None:
    """Each socket carries its evidence as sentences."""
    (site,) = group(judged(connection()))
    told = valid(connection())["sites"][0]["sockets"][0]["evidence"]
    assert told == list(site.findings[0].evidence)
    assert NOW > START


def test_site_tells_who_and_where() -> None:
    """Processes, remotes, direction, and where the threads are at the time of the report."""
    whole = report(*(accepted(i, remote=Endpoint(f"10.0.0.{i % 2}", 50_000 + i)) for i in range(3)))
    waits = Present((actor(100, 7), actor()), Standing.WAITS, "futex", NOW - 9 * S, stack("take_lock"))
    seen = replace(whole, sites=(with_present(whole.sites[0], (waits,), 5),))
    found = json.loads("".join(json_report.to_text(seen)))
    VALIDATOR.validate(found)
    (site,) = found["sites"]
    assert (site["program"], site["direction"], site["listening"]) == ("app", "accepted", "10.0.0.5:8080")
    nobody = dict.fromkeys(("unit", "container", "pod", "namespace", "pod_name", "container_name"))
    assert site["processes"] == [{"pid": 100, "comm": "app", "count": 3, **nobody}]
    assert site["remotes"] == [{"remote": "10.0.0.0:*", "count": 2}, {"remote": "10.0.0.1:*", "count": 1}]
    assert site["application"] == {"stack": "last", "index": 1, "loop": None}
    assert site["not_looked_at"] == 5
    (now,) = site["now"]
    assert (now["state"], now["syscall"], now["since_s"]) == ("waits", "futex", 9.0)
    assert [thread["tid"] for thread in now["threads"]] == [7, 100]
    assert now["stack"][1]["function"] == "take_lock"

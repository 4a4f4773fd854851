"""Oracle: `go tool pprof`, which reads the profile."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.unit.builders import accepted, connection, report, stack, touch
from tracer.model.connection import Connection
from tracer.model.frame import Frame, Stack
from tracer.model.states import Op
from tracer.reports.pprof.profile import Place, Sample, encoded, place
from tracer.reports.pprof.report import profile
from tracer.reports.pprof.wire import varint


def go_pprof(path: Path, *options: str) -> str:
    """What the tool says. It may not fetch anything, nor look for the programs here."""
    go = shutil.which("go")
    assert go is not None, "install golang-go"
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(path.parent),
        "PPROF_TMPDIR": str(path.parent),
        "GOFLAGS": "-mod=mod",
    }
    done = subprocess.run(
        [go, "tool", "pprof", "-symbolize=none", *options, str(path)],
        capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def rows(text: str) -> dict[str, tuple[int, int]]:
    """Of `pprof -top`: flat and cumulated count by function."""
    found = re.findall(r"^\s+(\d+) +[\d.]+% +[\d.]+% +(\d+) +[\d.]+%  (.+)$", text, re.MULTILINE)
    return {name: (int(flat), int(cumulated)) for flat, cumulated, name in found}


def sockets() -> list[Connection]:
    """Seven of one path, two of another with the same callers, one without a stack, and two of other kinds."""
    inner = (Frame("read_one", "/srv/app", file="/build/read.c", line=7, inlined=True), Frame("load", "/srv/app", 16))
    nameless = (Frame(None, "/usr/lib/libz.so.1", 0x1234), Frame("main", "/srv/app"))
    return [
        *(connection(i) for i in range(7)),
        *(connection(i, last=touch(Op.RECV, 1.0, 5, stack=stack("drain", "call_backend", "main"))) for i in (7, 8)),
        connection(9, last=None, opened=None),
        connection(10, last=touch(Op.RECV, 1.0, 5, stack=Stack((*inner, *nameless), True))),
        accepted(11, last=touch(Op.RECV, 1.0, 5, stack=Stack(nameless, True))),
    ]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pprof") / "sockets.pb.gz"
    path.write_bytes(profile(report(*sockets())))
    return path


def test_top(told: Path) -> None:
    """Each function has the sockets of its stacks."""
    text = go_pprof(told, "-top", "-nodecount=0", "-nodefraction=0")
    assert "Type: sockets" in text
    counts = rows(text)
    assert counts["__libc_recv"] == (9, 9)
    assert counts["read_reply"] == (0, 7)
    assert counts["drain"] == (0, 2)
    assert counts["call_backend"] == (0, 9)
    assert counts["main"] == (0, 11)
    assert counts["(no stack was recorded)"] == (1, 1)
    assert counts["libz.so.1+0x1234"] == (1, 2)
    assert counts["read_one (inline)"] == (1, 1)
    assert counts["load"] == (0, 1)


def test_labels(told: Path) -> None:
    """Sockets can be told apart by verdict, program and site, which is that of the JSON report."""
    by_program = go_pprof(told, "-tags")
    known = report(*sockets())
    for site in known.sites:
        assert site.id in by_program
        assert site.verdict.value in by_program
    assert re.search(r"program: Total 12\b", by_program)
    chosen = known.sites[0]
    text = go_pprof(told, "-top", f"-tagfocus=site={chosen.id}")
    same = sum(site.count for site in known.sites if site.id == chosen.id)
    assert re.search(rf"Showing nodes accounting for {same}, ", text)


def test_lines_and_files(told: Path) -> None:
    """A line of the source is shown with its file."""
    assert "/build/read.c:7" in go_pprof(told, "-traces", "-lines")


def test_from_json(tmp_path: Path) -> None:
    """Frames of a recorded JSON report make the same profile."""
    frame = json.loads('{"function": "load", "module_path": "/srv/app", "offset": 1, "file": "a.c", "line": 3}')
    at = place(frame["function"], frame["module_path"], frame["offset"], frame["file"], frame["line"], False)
    path = tmp_path / "a.pb.gz"
    path.write_bytes(encoded([Sample(40_000, [at], {"site": "x" * 300})], 0, 0))
    assert rows(go_pprof(path, "-top"))["load"] == (40_000, 40_000)


def test_hostile_names(tmp_path: Path) -> None:
    """Names from traced programs may hold anything."""
    names = ["\udcff\ud800", "a\nb", "", "%s", "x" * 100_000]
    path = tmp_path / "a.pb.gz"
    path.write_bytes(encoded([Sample(1, [Place(name)], {name: name}) for name in names], 0, 0))
    assert "Samples:\nsockets/count" in go_pprof(path, "-raw")


def test_equal_input_equal_bytes() -> None:
    """No time of writing is in it."""
    one, other = (profile(report(*sockets())) for _ in range(2))
    assert one == other
    assert gzip.decompress(one)[:1] == b"\x0a"


@pytest.mark.parametrize(
    ("value", "wire"),
    [(0, b"\0"), (1, b"\1"), (127, b"\x7f"), (150, b"\x96\x01"), (-1, b"\xff" * 9 + b"\x01")],
)
def test_varint(value: int, wire: bytes) -> None:
    """The examples of protobuf.dev, and the largest."""
    assert varint(value) == wire

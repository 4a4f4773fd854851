"""JavaScript stacks of a whole trace, compared with what the programs say of their own frames at the same calls.

``CLOSETRACE_NODES`` names the builds to test ("18 20 22 24 debian"). The default is 18 and 22.
"""

from __future__ import annotations

import difflib
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

import pytest

from tests.live.closetrace_command import Trace
from tests.live.test_live_installed import sites_of
from tests.systems.frames import Row, site_of_the_half_closed, table_of
from tests.systems.nodes import Said, Told, find_node, hanging_up, told

KINDS = os.environ.get("CLOSETRACE_NODES", "18 22").split()
COLUMNS = "calls,same site,equal,frames,named,wrong,unnamed,lines,wrong lines,no line,missing".split(",")
UNNAMED = "(JavaScript)"
MADE = 200
Frame = dict[str, Any]


@pytest.fixture(scope="module")
def table(request: pytest.FixtureRequest) -> Iterator[dict[str, Row]]:
    """The numbers of compared frames of each case, printed at the end."""
    yield from table_of(request, "Node.js", COLUMNS, names=16, numbers=12)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("kind", KINDS)
def test_the_frames_of_each_shape_are_those_that_the_program_tells(kind: str, table: dict[str, Row]) -> None:
    """Functions, files and lines are equal to those of ``new Error().stack``, in order."""
    row = table[f"{kind} shapes"] = Counter()
    faults = []
    for one, site in traced(kind, "shapes.js"):
        compared, fault = compare(one, site)
        row.update(compared)
        faults += fault
    assert not faults, "\n".join(faults)
    assert row["calls"] >= 40
    assert row["named"] >= 0.9 * row["frames"]


@pytest.mark.timeout(180)
@pytest.mark.parametrize("kind", KINDS)
def test_no_function_has_a_name_that_another_had(kind: str, table: dict[str, Row]) -> None:
    """Of a program that makes functions and garbage all the time no frame is named wrongly."""
    row = table[f"{kind} made"] = Counter()
    faults = []
    for one, site in traced(kind, "made.js", str(MADE)):
        compared, fault = compare(one, site)
        row.update(compared)
        faults += fault
    assert not faults, "\n".join(faults)
    assert row["calls"] == MADE
    assert row["named"] >= 0.5 * row["frames"]


@pytest.mark.timeout(180)
@pytest.mark.parametrize("kind", KINDS)
def test_who_sent_last_where_the_event_loop_read_the_end(kind: str) -> None:
    """No function of the program is on the stack of libuv's read. That of the last send is kept beside it."""
    node, count = find_node(kind), 3
    with node.start("server.js") as process:
        site = site_of_the_half_closed(process, b"ok 5\n", count)
    assert (site["count"], site["verdict"]) == (count, "eof-ignored")
    assert not [frame for frame in site["stack"] if frame["language"] == "node"]
    application = site["application"]
    assert application["stack"] == "sent"
    frame = site["sent_stack"][application["index"]]
    assert (frame["function"], os.path.basename(frame["file"]), frame["line"]) == ("onCommand", "server.js", 7)


def traced(kind: str, program: str, *arguments: str) -> Iterator[tuple[Told, Frame]]:
    """Run ``program`` under a trace: what it said of each site's first socket, with that site."""
    node = find_node(kind)
    with hanging_up() as port, node.start(program, str(port), *arguments) as process:
        options = ("--pid", str(process.pid), "--linger", "0.2", "--json", "--verbose")
        try:
            with Trace(*options) as trace:
                trace.until(lambda: "has an interpreter" in trace.err(), "the interpreter is known")
                assert process.stdin is not None
                process.stdin.write("go\n")
                process.stdin.flush()
                said = dict(told(process))
                trace.until(lambda: f"{len(said)} of them over the threshold" in trace.err(), "all sockets lingered")
                report = trace.stop().report()
        finally:
            process.kill()
    for site in report["sites"]:
        first, *_ = site["sockets"]
        yield said[int(first["local"].rpartition(":")[2])], site


def compare(one: Told, site: Frame) -> tuple[Row, list[str]]:
    """One row of the table for one stack, and what is wrong in it."""
    ours = [frame for frame in site["stack"] if frame["language"] == "node"]
    # Node.js's own functions that the program called are not in its list.
    first = next((at for at, frame in enumerate(ours) if our_key(frame) == key(one.frames[0])), len(ours))
    ours = [frame for at, frame in enumerate(ours) if at >= first or not (frame["internal"] or is_unnamed(frame))]
    matcher = difflib.SequenceMatcher(None, [key(f) for f in one.frames], [our_key(f) for f in ours], autojunk=False)
    pairs = [(one.frames[b.a + i], ours[b.b + i]) for b in matcher.get_matching_blocks() for i in range(b.size)]
    matched = {id(frame) for _, frame in pairs}
    odd = [f for f in ours if id(f) not in matched and not is_unnamed(f) and not is_builtin(f)]
    lines = [(theirs, f) for theirs, f in pairs if theirs.line is not None and f["line"] is not None]
    off = [(theirs, f) for theirs, f in lines if theirs.line != f["line"]]
    row = Counter(
        {
            "calls": site["count"],
            "same site": site["count"] - 1,
            "equal": len(pairs) == len(one.frames) and len(lines) == len([f for f in one.frames if f.line]),
            "frames": len(one.frames),
            "named": len(pairs),
            "wrong": len(odd),
            "unnamed": sum(map(is_unnamed, ours)),
            "lines": len(lines),
            "wrong lines": len(off),
            "no line": sum(theirs.line is not None and f["line"] is None for theirs, f in pairs),
            "missing": len(one.frames) - len(pairs),
        }
    )
    faults = [f"{one.shape}: {f['function']} ({f['file']}:{f['line']}) is not in {one.frames}" for f in odd]
    faults += [f"{one.shape}: {f['function']} line {f['line']} is not {theirs}" for theirs, f in off]
    return row, faults


def key(frame: Said) -> tuple[str, str]:
    """What makes two frames equal, apart from the line."""
    # Code of eval and new Function has no function of its own.
    return _name(frame.function if frame.function != "eval" else None), frame.file or ""


def our_key(frame: Frame) -> tuple[str, str]:
    """The same of one of our frames. A function without a name may have one that V8 inferred: a.b."""
    name = frame["function"]
    return _name(None if name.startswith("<anonymous>") or "." in name else name), frame["file"] or ""


def _name(function: Optional[str]) -> str:
    """Without what a property is called by its own words: get balance."""
    return re.sub(r"^(get|set) ", "", function) if function is not None else "?"


def is_unnamed(frame: Frame) -> bool:
    """Whether the frame says that its name is not known."""
    return bool(frame["function"] == UNNAMED)


def is_builtin(frame: Frame) -> bool:
    """V8's own functions, of which it shows not all."""
    return bool(frame["internal"]) and not frame["file"]


NODE = {
    "shopd/bin/shopd.js": '#!/usr/bin/env node\nrequire("../lib/main")();\n',
    "shopd/lib/main.js": """
const { keepOrders, keepStock } = require("./kept");
const ask = require("acme-ask");
module.exports = function main() {
  process.stdin.on("data", (port) => {
    for (const keep of [keepOrders, keepOrders, keepStock]) ask(Number(port), keep);
    console.log("done");
  });
};
""",
    "shopd/lib/kept.js": """
function keepOrders(socket) { socket.pause(); socket.write("orders"); }
function keepStock(socket) { socket.pause(); socket.write("stock"); }
module.exports = { keepOrders, keepStock };
""",
    "shopd/node_modules/acme-ask/index.js": """
const net = require("net");
const kept = [];
module.exports = function ask(port, keep) {
  const socket = net.connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  socket.once("data", () => keep(socket));
  kept.push(socket);
};
""",
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_functions_of_a_global_npm_package(kind: str, tmp_path: Path) -> None:
    """Called by its link in ``bin``. The package that it depends on, in a folder of its own below, is a library."""
    node = find_node(kind)
    place, chroot = (tmp_path, []) if node.root == Path("/") else (node.root / "test/npm", ["chroot", str(node.root)])
    modules = place / "lib" / "node_modules"
    for file, text in NODE.items():
        (modules / file).parent.mkdir(parents=True, exist_ok=True)
        (modules / file).write_text(text)
    (place / "bin").mkdir(exist_ok=True)
    link = place / "bin" / "shopd"
    link.unlink(missing_ok=True)
    link.symlink_to("../lib/node_modules/shopd/bin/shopd.js")
    called = f"/{link.relative_to(node.root)}"
    assert sites_of(place, *chroot, node.command, called) == {"keepOrders": 2, "keepStock": 1}

"""tail, timeline and run."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.live.closetrace_command import Trace, let_linger, run_closetrace
from tests.live.workload import Workload, build, start


def _tail_json(program: Workload) -> list[dict[str, object]]:
    """The transitions of one program from its first step to its last."""
    with Trace("tail", "--pid", str(program.pid()), "--json") as trace:
        trace.attached()
        program.all_steps()
        trace.until(lambda: "LAST_ACK" in trace.out(), "the transitions are told")
        let_linger()
        ran = trace.stop()
    assert ran.code == 0, ran.err
    return [json.loads(line) for line in ran.lines()]


def test_tail_tells_every_transition_in_order() -> None:
    """From SYN_SENT to CLOSE: each transition once, in order, with its origin.

    That to SYN_SENT is not among them: the kernel makes it before it chooses a local port (tcp_v4_connect).
    """
    with start("late_close") as program:
        events = _tail_json(program)
        local = program.sockets()[0]["local"]
    mine = [event for event in events if event.get("local") == local]
    path = [(event["old"], event["new"], event["origin"]) for event in mine]
    assert [step[:2] for step in path] == [
        ("SYN_SENT", "ESTABLISHED"),
        ("ESTABLISHED", "CLOSE_WAIT"),
        ("CLOSE_WAIT", "LAST_ACK"),
        ("LAST_ACK", "CLOSE"),
    ]
    origin = {new: who for _, new, who in path}
    assert origin["CLOSE_WAIT"] == "peer"
    assert origin["LAST_ACK"] == "local"


def test_tail_text_names_the_owner_not_the_peer() -> None:
    """The line of CLOSE_WAIT, made in the peer's task over loopback, names the program."""
    with start("late_close") as program:
        with Trace("tail", "--pid", str(program.pid())) as trace:
            trace.attached()
            program.all_steps()
            trace.until(lambda: "LAST_ACK" in trace.out(), "the close is told")
            ran = trace.stop()
        line = next(line for line in ran.lines() if "-> CLOSE_WAIT" in line)
    assert "puppet" not in line
    assert str(program.pid()) in line
    assert "late_close" in line
    assert re.search(r"\d\d:\d\d:\d\d\.\d{6}", line)


def test_tail_stacks() -> None:
    """--stacks shows the program's own code under the transitions that its calls made."""
    with start("late_close") as program, Trace("tail", "--pid", str(program.pid()), "--stacks") as trace:
        trace.attached()
        program.all_steps()
        trace.until(lambda: "close_at_last" in trace.out(), "the closing stack is told")
        ran = trace.stop()
    assert ran.code == 0


def test_tail_is_line_buffered() -> None:
    """A line is there at once, also when the output is a file or a pipe."""
    with start("late_close") as program, Trace("tail", "--pid", str(program.pid())) as trace:
        trace.attached()
        program.step()
        trace.until(lambda: "ESTABLISHED" in trace.out(), "the first transition", 10)


CONNECTIONS = 6000
# RFC 9293, figure 5: the side that closes first passes SYN_SENT, ESTABLISHED, FIN_WAIT1, FIN_WAIT2 and CLOSE (TIME_WAIT
# is no state of this socket); the other, from SYN_RECV, passes ESTABLISHED, CLOSE_WAIT, LAST_ACK and CLOSE.
EACH = 5 + 4
# The last ACKs may still be on their way when close returns: it is done when its sockets are gone or in TIME_WAIT.
FLOOD = """
import socket, sys, time
def closing(port):
    with open("/proc/self/net/tcp") as table:
        rows = [line.split() for line in table][1:]
    ends = ((int(row[1].split(":")[1], 16), int(row[2].split(":")[1], 16), row[3]) for row in rows)
    return any(port in (near, far) and state not in ("06", "0A") for near, far, state in ends)
server = socket.create_server(("127.0.0.1", 0), backlog=16)
print("ready", flush=True)
sys.stdin.readline()
for _ in range(int(sys.argv[1])):
    near = socket.create_connection(server.getsockname())
    far, _ = server.accept()
    near.close()
    assert far.recv(1) == b""
    far.close()
until = time.monotonic() + 5
while closing(server.getsockname()[1]) and time.monotonic() < until:
    time.sleep(0.01)
print("late" if closing(server.getsockname()[1]) else "done", flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("stalled", [False, True], ids=["reading", "stalled"])
@pytest.mark.parametrize("as_json", [True, False], ids=["json", "text"])
def test_every_transition_of_a_flood_is_shown_or_counted(as_json: bool, stalled: bool) -> None:
    """Produced = shown + lost, by the number of connections that the flood made; also when the reader falls behind."""
    words = [sys.executable, "-c", FLOOD, str(CONNECTIONS)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as flood:
        assert flood.stdin is not None
        assert flood.stdout is not None
        assert flood.stdout.readline() == "ready\n"
        with Trace("tail", "--pid", str(flood.pid), *(("--json",) if as_json else ())) as trace:
            trace.attached()
            if stalled:
                trace.process.send_signal(signal.SIGSTOP)
            flood.stdin.write("go\n")
            assert flood.stdout.readline() == "done\n"
            trace.process.send_signal(signal.SIGCONT)
            ran = trace.stop()
        flood.stdin.write("end\n")
    assert ran.code == 0, ran.err
    shown, told_lost, total = (_json_counts if as_json else _text_counts)(ran.lines())
    assert (total["transitions"], total["lost"]) == (shown, told_lost)
    missing = CONNECTIONS * EACH - shown - told_lost
    assert 0 <= missing <= total["hooks_not_run"], (total, missing, _unusual(ran.lines()) if as_json else "")
    # the buffer holds 4 MiB of 120 bytes each
    assert (told_lost == CONNECTIONS * EACH - (4 << 20) // 120 - missing) if stalled else shown


def _unusual(lines: list[str]) -> list[tuple[str, list[str]]]:
    """The connections whose transitions are not those of the many: which ones are missing, or came in their place.

    The transition to SYN_SENT is left out: it has no port yet.
    """
    ways: dict[str, list[str]] = {}
    for word in map(json.loads, lines):
        if word["event"] == "transition" and word["new"] != "SYN_SENT":
            ways.setdefault(f"{word['local']} {word['remote']}", []).append(f"{word['new']} {word['time']}")
    kinds = Counter(_states(way) for way in ways.values())
    usual = {kind for kind, _ in kinds.most_common(2)}
    return [(ends, way) for ends, way in ways.items() if _states(way) not in usual][:5]


def _states(way: list[str]) -> tuple[str, ...]:
    return tuple(step.split()[0] for step in way)


def _json_counts(lines: list[str]) -> tuple[int, int, dict[str, int]]:
    words = [json.loads(line) for line in lines]
    kinds = Counter(word["event"] for word in words)
    assert kinds["total"] == 1
    total = words[-1]
    assert total["event"] == "total"
    assert total["produced"] == total["transitions"] + total["lost"]
    return kinds["transition"], sum(word["transitions"] for word in words if word["event"] == "loss"), total


def _text_counts(lines: list[str]) -> tuple[int, int, dict[str, int]]:
    shown = sum(1 for line in lines if " -> " in line and "OLD -> NEW" not in line)
    lost = sum(int(found[1]) for line in lines if (found := re.fullmatch(r"-- (\d+) transitions? lost --", line)))
    found = re.match(r"-- (\d+) transitions? shown, (\d+) lost", lines[-1])
    assert found
    not_run = re.search(r"(\d+) hooks? not run", lines[-1])
    total = {"transitions": int(found[1]), "lost": int(found[2]), "hooks_not_run": int(not_run[1]) if not_run else 0}
    return shown, lost, total


def test_timeline_of_a_connection() -> None:
    """One block per connection when it ends: who opened, FIN from whom, who closed, in order."""
    with start("late_close") as program:
        local = ""
        with Trace("timeline", "--pid", str(program.pid())) as trace:
            trace.attached()
            program.all_steps()
            local = program.sockets()[0]["local"]
            trace.until(lambda: local in trace.out(), "the block is told")
            ran = trace.stop()
    assert ran.code == 0, ran.err
    text = ran.out[ran.out.index(local) :]
    places = [text.index(word) for word in ("connect", "FIN", "close")]
    assert places == sorted(places)


_RECEIVER = """
import socket, sys, time
_, descriptors, _, _ = socket.recv_fds(socket.socket(fileno=int(sys.argv[1])), 1, 1)
mine = socket.socket(fileno=descriptors[0])
mine.recv(1)
mine.recv(1)
print("end read", flush=True)
time.sleep(60)
"""


def test_timeline_of_a_socket_that_was_handed_over() -> None:
    """Its connection is made after attaching, so it is not older than the trace, however late its process gets it."""
    ours, theirs = socket.socketpair()
    words = [sys.executable, "-c", _RECEIVER, str(theirs.fileno())]
    program = subprocess.Popen(words, pass_fds=[theirs.fileno()], stdout=subprocess.PIPE, text=True)
    try:
        options = ("--pid", str(program.pid), "--linger", "0.3", "--interval", "0.2", "--json")
        with Trace("timeline", *options) as trace, socket.create_server(("127.0.0.1", 0)) as listener:
            trace.attached()
            with socket.create_connection(listener.getsockname()) as client:
                peer, _ = listener.accept()
                local = "{}:{}".format(*client.getsockname())
                peer.send(b"x")
                socket.send_fds(ours, [b"x"], [client.fileno()])
            peer.close()
            assert program.stdout is not None
            assert program.stdout.readline() == "end read\n"
            trace.until(lambda: local in trace.out(), "the lingering socket is told")
            ran = trace.stop()
    finally:
        program.kill()
        program.wait()
    assert ran.code == 0, ran.err
    (told,) = (block for block in map(json.loads, ran.lines()) if block["local"] == local)
    assert told["state"] == "CLOSE_WAIT"
    assert told["preexisting"] is False


def test_timeline_of_an_abortive_close() -> None:
    """SO_LINGER 0: the block says that the program reset the connection."""
    with start("linger_zero") as program, Trace("timeline", "--pid", str(program.pid())) as trace:
        trace.attached()
        program.all_steps()
        local = program.sockets()[0]["local"]
        trace.until(lambda: local in trace.out(), "the block is told")
        ran = trace.stop()
    assert re.search(r"reset|RST|abort", ran.out, re.IGNORECASE), ran.out


AUTO = {"WORKLOAD_STEP_MS": "600"}


def test_run_traces_from_the_first_socket() -> None:
    """Run starts the program, ends with it, and with --fail-over fails for what it left."""
    arguments = ("run", "--linger", "0.3", "--json", "--fail-over", "0", "--", str(build("idle_pool")), "2")
    ran = run_closetrace(*arguments, env={"WORKLOAD_STEP_MS": "2500"})
    assert ran.code == 3, ran.err


def test_run_clean_program_passes() -> None:
    """With --fail-over a program that closes its sockets passes."""
    ran = run_closetrace(
        "run",
        "--linger",
        "0.3",
        "--fail-over",
        "0",
        "--",
        str(
            build("clean"),
        ),
        "2",
        env=AUTO,
    )
    assert ran.code == 0, ran.err


def test_run_passes_the_program_s_output_and_code() -> None:
    """The program's own output is kept. If the program cannot start, one line says so."""
    ran = run_closetrace("run", "--", "/bin/sh", "-c", "echo spoken")
    assert ran.code == 0, ran.err
    assert "spoken" in ran.out
    missing = run_closetrace("run", "--", "/no/such/program")
    assert missing.code == 1
    assert "/no/such/program" in missing.err
    assert "Traceback" not in missing.err


def test_run_sees_children() -> None:
    """The leak of a grandchild is found."""
    arguments = ("run", "--linger", "0.3", "--fail-over", "0", "--", "/bin/sh", "-c", f"{build('idle_pool')} 1; true")
    ran = run_closetrace(*arguments, env={"WORKLOAD_STEP_MS": "2500"})
    assert ran.code == 3, ran.err
    assert "read_response" in ran.out


def test_run_tells_who_goes_on() -> None:
    """A process that outlives the command is not traced any more, and that is said."""
    ran = run_closetrace("run", "--", "/bin/sh", "-c", "sleep 60 >/dev/null 2>&1 & echo $!")
    assert ran.code == 0, ran.err
    pid = int(ran.out.split()[0])
    os.kill(pid, signal.SIGKILL)
    assert "1 process that it started goes on, not traced any more" in ran.err
    assert f"(pid {pid})" in ran.err


def test_run_as_the_invoking_user(tmp_path: Path) -> None:
    """Under sudo the program runs as the user who called, not as root."""
    sudo = {"SUDO_UID": "65534", "SUDO_GID": "65534", "SUDO_USER": "nobody"}
    ran = run_closetrace("run", "--", "/usr/bin/id", "-u", env=sudo)
    assert ran.code == 0, ran.err
    assert "65534" in ran.out.split()
    groups = run_closetrace("run", "--", "/usr/bin/id", "-G", env=sudo)
    assert "0" not in groups.out.split(), groups.out


@pytest.mark.parametrize("words", [("run",), ("run", "--")])
def test_run_wants_a_command(words: tuple[str, ...]) -> None:
    """Without a command it is a usage error."""
    ran = run_closetrace(*words)
    assert ran.code == 2
    assert ran.err.strip()


def test_demo() -> None:
    """The demo shows a leak with its stack and cleans up after itself."""
    ran = run_closetrace("demo", env={"HOME": os.environ.get("HOME", "/root")})
    assert ran.code == 0, ran.err
    assert "CLOSE_WAIT" in ran.out

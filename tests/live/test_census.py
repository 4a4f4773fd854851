"""The census of real sockets in the tests' own network namespaces, compared with ss, /proc and connect."""

from __future__ import annotations

import errno
import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jsonschema
import pytest

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / "docs/census.schema.json").read_text())
CENSUS = [sys.executable, "-c", "from tracer.commands.census import census; census()"]
SS_NAMES = {
    "ESTAB": "ESTABLISHED",
    "CLOSE-WAIT": "CLOSE_WAIT",
    "FIN-WAIT-1": "FIN_WAIT1",
    "FIN-WAIT-2": "FIN_WAIT2",
    "TIME-WAIT": "TIME_WAIT",
    "LAST-ACK": "LAST_ACK",
    "SYN-SENT": "SYN_SENT",
}
_names = itertools.count()

PAIR = """
import socket, sys, time
listener = socket.create_server(("127.0.0.1", 8081), backlog=64)
def pair():
    client = socket.create_connection(("127.0.0.1", 8081))
    return client, listener.accept()[0]
"""
HOLD = "\nprint('ready', flush=True); sys.stdin.read()\n"


@pytest.fixture
def netns() -> Iterator[str]:
    """Make a network namespace with loopback up; its name."""
    name = f"ct-census-{os.getpid()}-{next(_names)}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        yield name
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


@contextmanager
def program(netns: str, code: str) -> Iterator[int]:
    """Run ``code`` after PAIR in the namespace until it says that it is ready; its pid."""
    command = ["nsenter", f"--net=/run/netns/{netns}", sys.executable, "-c", PAIR + code + HOLD]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process.pid
        finally:
            process.kill()


def sysctl(netns: str, name: str, value: str) -> None:
    command = ["ip", "netns", "exec", netns, "sysctl", "-qw", f"net.ipv4.{name}={value}"]
    subprocess.run(command, check=True)


def run(*options: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80"}
    return subprocess.run([*CENSUS, *options], capture_output=True, text=True, timeout=60, env=environment, check=False)


def text(*options: str) -> str:
    done = run(*options)
    assert (done.returncode, done.stderr) == (0, "")
    assert all(len(line) <= 80 for line in done.stdout.splitlines())
    return done.stdout


def flat(*options: str) -> str:
    return " ".join(text(*options).split())


def document(*options: str) -> dict[str, Any]:
    done = run("--json", *options)
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[str, Any] = json.loads(done.stdout)
    jsonschema.Draft202012Validator(SCHEMA).validate(found)
    return found


def ss_states(netns: str) -> dict[str, int]:
    """Count states as ``ss -tan`` tells them, listeners left out."""
    lines = subprocess.check_output(["ip", "netns", "exec", netns, "ss", "-Htan"], text=True).splitlines()
    words = [line.split()[0] for line in lines]
    return dict(Counter(SS_NAMES[word] for word in words if word != "LISTEN"))


def states(found: dict[str, Any]) -> dict[str, int]:
    return {row["state"]: row["count"] for row in found["states"]}


def groups(found: dict[str, Any], state: str) -> list[dict[str, Any]]:
    return [row for row in found["groups"] if row["state"] == state]


ZOO = """
kept = []
for _ in range(3):                      # CLOSE_WAIT, FIN unread; the server's ends are orphans in FIN_WAIT2
    c, s = pair(); s.close(); kept.append(c)
c, s = pair(); s.sendall(b"zz"); s.close(); kept.append(c)      # unread data
c, s = pair(); s.close(); assert c.recv(9) == b""; kept.append(c)   # end read and ignored
for _ in range(5):
    c, s = pair(); c.close(); s.close()     # the client closes first
for _ in range(2):
    c, s = pair(); s.close(); c.close()     # the server does
c, s = pair(); c.shutdown(socket.SHUT_WR); kept += [c, s]           # half-closed and held
for _ in range(3):
    kept.append(socket.create_connection(("127.0.0.1", 8081)))  # never accepted
"""


def test_every_state_is_counted_as_ss_counts_it(netns: str) -> None:
    """States agree with ss, processes with the program's pid, and each closing state is explained with its figures."""
    with program(netns, ZOO) as pid:
        found = document("--netns", netns)
        assert states(found) == ss_states(netns)
        assert states(found) == {"CLOSE_WAIT": 6, "FIN_WAIT2": 6, "TIME_WAIT": 7, "ESTABLISHED": 6}
        closers = {row["state"]: row["closed_first"] for row in found["states"]}
        assert closers == {
            "CLOSE_WAIT": "peer",
            "FIN_WAIT2": "this side",
            "TIME_WAIT": "this side",
            "ESTABLISHED": None,
        }
        owners = {(row["owner"]["kind"], row["owner"]["pid"]) for row in groups(found, "CLOSE_WAIT")}
        assert owners == {("process", pid)}
        queue = [row for row in found["groups"] if row["owner"]["kind"] == "accept-queue"]
        assert [(row["count"], row["owner"]["pid"], row["local_port"]) for row in queue] == [(3, pid, 8081)]
        assert {(row["direction"], row["count"]) for row in groups(found, "TIME_WAIT")} == {
            ("outgoing", 5),
            ("incoming", 2),
        }
        printed = flat("--netns", netns)
    assert (
        "1 read to the end by the program, which kept the socket; 4 not read since the peer closed; 1 with data"
        in printed
    )
    assert f"closetrace --pid {pid} names the code" in printed
    assert "Harmless. This side closed first" in printed
    assert "2 of 7 were opened by the peer" in printed
    assert "5 closed by the program: the kernel drops them by itself" in printed
    assert "1 half-closed by shutdown and still held" in printed
    assert f"6 in {Path(sys.executable).name} (pid {pid})" in printed


def test_time_in_close_wait_is_bounded_from_below(netns: str) -> None:
    """The time in CLOSE_WAIT counts from FIN, not from the last data."""
    code = "c, s = pair(); s.sendall(b'x'); c.recv(1); time.sleep(1.5); s.close(); fin = time.time()\n"
    with program(netns, code):
        time.sleep(0.5)
        began = time.monotonic()
        (row,) = groups(document("--netns", netns), "CLOSE_WAIT")
        assert 0.5 <= row["quiet_s"] < 1.4 + time.monotonic() - began


def test_fork_held_sockets_name_both_processes(netns: str) -> None:
    """A socket that a child inherited counts once, and the census shows one more holder."""
    with program(
        netns, "import os\nc, s = pair(); s.close()\nif os.fork() == 0: sys.stdin.read(); sys.exit()\n"
    ) as pid:
        (row,) = groups(document("--netns", netns), "CLOSE_WAIT")
    assert (row["count"], row["owner"]["pid"], row["owner"]["others"]) == (1, pid, 1)


def test_process_filter_finds_the_namespace(netns: str) -> None:
    """--pid and --comm use the process's namespace, count only its sockets, and mention those that nobody has."""
    name = f"zoo{os.getpid()}"
    code = f"open('/proc/self/comm', 'w').write({name!r})\n{ZOO}"
    with program(netns, code) as pid, program_beside(netns):
        for options in (["--pid", str(pid)], ["--comm", name]):
            found = document(*options)
            assert [it["netns"] for it in found["namespaces"]] == [os.stat(f"/run/netns/{netns}").st_ino]
            assert states(found) == {"CLOSE_WAIT": 6, "FIN_WAIT2": 1, "ESTABLISHED": 6}
            assert found["unowned"] == 5 + 7
            assert {row["owner"]["comm"] for row in found["groups"]} == {name}
        assert states(document("--netns", netns)) == ss_states(netns)
        assert "12 more connections belong to no process" in flat("--pid", str(pid))


@contextmanager
def program_beside(netns: str) -> Iterator[None]:
    """Have another program hold a connection of its own on port 8082."""
    code = "import socket, sys\nl = socket.create_server(('127.0.0.1', 8082))\n"
    code += "c = socket.create_connection(('127.0.0.1', 8082)); s = l.accept()"
    command = ["nsenter", f"--net=/run/netns/{netns}", sys.executable, "-c", code + HOLD]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("options", "count"),
    [
        (["--local-port", "8081"], 11),
        (["--remote-port", "8081"], 14),
        (["--remote-port", "8082"], 1),
        (["--remote", "127.0.0.0/8"], 27),
        (["--remote", "127.0.0.1"], 27),
        (["--remote", "127.0.0.2"], 0),
        (["--remote", "::/0"], 0),
        (["--local-port", "8081", "--local-port", "8082"], 12),
        (["--remote", "10.0.0.0/8", "--remote", "127.0.0.0/30"], 27),
        (["--remote-port", "8081", "--local-port", "8082"], 0),
    ],
)
def test_endpoint_filters(netns: str, options: list[str], count: int) -> None:
    """Port, address and network filters choose what the same filter of ss chooses."""
    terms = {"--local-port": "sport = :{}", "--remote-port": "dport = :{}", "--remote": "dst {}"}
    kinds = [
        " or ".join(terms[kind].format(value) for key, value in zip(options[::2], options[1::2]) if key == kind)
        for kind in dict.fromkeys(options[::2])
    ]
    expression = " and ".join(f"( {kind} )" for kind in kinds)
    with program(netns, ZOO), program_beside(netns):
        listed = subprocess.check_output(["ip", "netns", "exec", netns, "ss", "-Htan", expression], text=True)
        found = document("--netns", netns, *options)
    assert found["connections"] == sum(states(found).values()) == sum(row["count"] for row in found["groups"])
    assert found["connections"] == count
    assert sum(not line.startswith("LISTEN") for line in listed.splitlines()) == count


def test_exhausted_ports(netns: str) -> None:
    """When few ephemeral ports are left the census warns, and connect fails as the warning says."""
    sysctl(netns, "ip_local_port_range", "40000 40009")
    sysctl(netns, "tcp_tw_reuse", "0")
    spend = "for _ in range({0}):\n    c, s = pair(); c.close(); s.close()\n"
    with program(netns, spend.format(5)):
        found = document("--netns", netns)
        (use,) = found["ports"]
        assert (use["used"], use["time_wait"], use["usable"], use["near_exhaustion"]) == (5, 5, 10, False)
        assert found["warnings"] == []
    more = spend.format(5) + (
        "for host in '127.0.0.1', '127.0.0.2':\n"
        "    try:\n        socket.create_connection((host, 8081))\n"
        "    except OSError as error:\n        print(error.errno, flush=True)\n"
    )
    command = ["nsenter", f"--net=/run/netns/{netns}", sys.executable, "-c", PAIR + more]
    printed = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout.split()
    # No port is left for this destination; to another one the same ports are free (and nobody listens there).
    assert printed == [str(errno.EADDRNOTAVAIL), str(errno.ECONNREFUSED)]
    found = document("--netns", netns)
    (use,) = (row for row in found["ports"] if row["destination"] == "127.0.0.1:8081")
    assert (use["source"], use["used"], use["time_wait"], use["usable"]) == ("127.0.0.1", 10, 10, 10)
    assert (use["share"], use["near_exhaustion"], use["time_wait_reusable"]) == (1.0, True, False)
    assert len(found["warnings"]) == 1
    printed_text = flat("--netns", netns)
    assert (
        "WARNING: 10 of 10 ephemeral ports from 127.0.0.1 to 127.0.0.1:8081 are in use (100%, 10 of them in"
        in printed_text
    )
    assert "connect will soon fail with EADDRNOTAVAIL" in printed_text
    assert "net.ipv4.tcp_tw_reuse is 0: connect never takes a port that is in TIME_WAIT." in printed_text


def test_reusable_time_wait_is_no_shortage(netns: str) -> None:
    """If tcp_tw_reuse lets connect take the ports again, there is no warning, and connect succeeds."""
    sysctl(netns, "ip_local_port_range", "40000 40009")
    sysctl(netns, "tcp_tw_reuse", "2")
    code = "for _ in range(10):\n    c, s = pair(); c.close(); s.close()\n"
    with program(netns, code):
        found = document("--netns", netns)
    (use,) = found["ports"]
    assert (use["used"], use["time_wait"], use["time_wait_reusable"]) == (10, 10, True)
    assert (use["blocked_share"], use["near_exhaustion"], found["warnings"]) == (0.0, False, [])
    time.sleep(2)
    with program(netns, "c, s = pair()\n"):
        assert states(document("--netns", netns))["ESTABLISHED"] == 2


def test_reserved_and_listening_ports_are_not_usable(netns: str) -> None:
    """Ports that are reserved or have a listener do not count as ephemeral."""
    sysctl(netns, "ip_local_port_range", "40000 40009")
    sysctl(netns, "ip_local_reserved_ports", "40001,40003-40004")
    with program(netns, "other = socket.create_server(('127.0.0.1', 40006)); c, s = pair()\n"):
        (use,) = document("--netns", netns)["ports"]
    assert (use["used"], use["usable"]) == (1, 6)


def test_server_that_is_gone(netns: str) -> None:
    """Connections of a server that has ended are still shown as incoming, and take no ephemeral port."""
    code = (
        "l2 = socket.create_server(('127.0.0.1', 45000))\n"
        "for _ in range(4):\n"
        "    c = socket.create_connection(('127.0.0.1', 45000)); s = l2.accept()[0]; s.close(); c.close()\n"
        "l2.close()\n"
    )
    with program(netns, code):
        found = document("--netns", netns)
        assert states(found) == ss_states(netns) == {"TIME_WAIT": 4}
    assert [(row["direction"], row["local_port"], row["count"]) for row in found["groups"]] == [("incoming", 45000, 4)]
    assert found["ports"] == []


def test_ipv6_and_mapped(netns: str) -> None:
    """True IPv6 endpoints are bracketed, v4-mapped ones shown as IPv4, in one group with those of IPv4 sockets."""
    code = (
        "l6 = socket.create_server(('::', 9000), family=socket.AF_INET6, dualstack_ipv6=True)\n"
        "kept = [socket.create_connection((a, 9000)) for a in ('::1', '127.0.0.1', '::ffff:127.0.0.1')]\n"
        "kept += [l6.accept()[0] for _ in kept]\n"
    )
    with program(netns, code):
        found = document("--netns", netns)
        assert states(found) == ss_states(netns)
    rows = {(row["direction"], row["remote"], row["count"]) for row in found["groups"]}
    assert rows == {
        ("outgoing", "[::1]:9000", 1),
        ("outgoing", "127.0.0.1:9000", 2),
        ("incoming", "::1", 1),
        ("incoming", "127.0.0.1", 2),
    }


def test_empty_namespace(netns: str) -> None:
    """For a namespace without connections the census prints one line, or an empty, valid document."""
    assert document("--netns", f"/run/netns/{netns}")["connections"] == 0
    assert re.fullmatch(r"\d\d:\d\d:\d\d  0 TCP connections, 0 listeners \(.*\)\n", text("--netns", netns))


def test_watch_until_interrupted(netns: str) -> None:
    """--watch counts again and again, tells what changed, and ends well at Ctrl-C; no screen codes into a pipe."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    with program(netns, "c, s = pair()\n"):
        command = [*CENSUS, "--netns", netns, "--watch", "0.5"]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        ) as watch:
            assert watch.stdout is not None
            for line in watch.stdout:
                if "change" in line:
                    break
            with program_beside(netns):
                rounds = "".join(itertools.islice(watch.stdout, 40))
            watch.send_signal(signal.SIGINT)
            rest, errors = watch.communicate(timeout=20)
    assert re.search(r"ESTABLISHED +4 +\+2 ", rounds)
    assert "\x1b" not in rounds + rest
    assert (watch.returncode, errors) == (0, "")


def test_watch_json_is_one_document_a_line(netns: str) -> None:
    """--watch with --json gives lines, each a valid document."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    command = [*CENSUS, "--netns", netns, "--json", "--watch", "0.2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as watch:
        assert watch.stdout is not None
        for _ in range(3):
            jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(watch.stdout.readline()))
        watch.send_signal(signal.SIGINT)
        assert watch.wait(20) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--pid", "4194304999"], "no process 4194304999"),
        (["--comm", "no-such-comm"], "no process matches the filters"),
        (["--netns", "/nonexistent"], "/nonexistent"),
        (["--netns", "/proc/self/ns/mnt"], "cannot enter the network namespace"),
        (["--remote", "10.0.0.300"], "10.0.0.300"),
        (["--remote-port", "70000"], "70000"),
        (["--watch", "nan"], "nan"),
        (["--watch", "inf"], "inf"),
    ],
)
def test_bad_input(options: list[str], message: str) -> None:
    """Values that make no sense are refused in one sentence that names them."""
    from click.testing import CliRunner

    from tracer.commands.census import census
    from tracer.errors import ClosetraceError

    outcome = CliRunner().invoke(census, options)
    if isinstance(outcome.exception, ClosetraceError):
        assert message in str(outcome.exception)
    else:
        assert outcome.exit_code == 2
        assert message in outcome.output


def test_unprivileged(netns: str) -> None:
    """Without root the census still counts, shows its own processes, and says what it could not see."""
    code = (
        "import socket, sys\nl = socket.create_server(('127.0.0.1', 0)); c = socket.create_connection(l.getsockname())"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code + HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as own:
        assert own.stdout is not None
        own.stdout.readline()
        script = (
            "import os, sys\nfrom tracer.commands.census import census\n"
            'os.setgid(65534); os.setuid(65534)\ncensus(args=["--rows", "0"])\n'
        )
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80"}
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=False
        )
        own.kill()
    assert (done.returncode, done.stderr) == (0, "")
    assert "(not visible)" in done.stdout
    assert "that you may not see. Root sees all." in " ".join(done.stdout.split())


def test_hostile_command_name(netns: str) -> None:
    """Escape sequences in a command name do not reach the terminal."""
    with program(netns, "open('/proc/self/comm', 'wb').write(b'x\\x1b[31mred')\nc, s = pair(); s.close()\n"):
        printed = text("--netns", netns)
    assert "\x1b" not in printed
    assert "x\\x1b[31mred" in printed


def test_busy_namespace_is_quick(netns: str) -> None:
    """3000 connections are counted in seconds, and agree with ss."""
    with program(netns, "kept = [pair() for _ in range(1500)]\n"):
        began = time.monotonic()
        found = document("--netns", netns)
        spent = time.monotonic() - began
        assert states(found) == ss_states(netns) == {"ESTABLISHED": 3000}
    assert spent < 8


def test_own_namespace_is_the_default() -> None:
    """Without --netns the sockets are those of this process's namespace."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            found = document("--remote-port", str(port), "--pid", str(os.getpid()))
            assert client.getpeername()[1] == port
    assert [(row["count"], row["owner"]["pid"]) for row in found["groups"]] == [(1, os.getpid())]
    assert found["namespaces"][0]["netns"] == os.stat("/proc/self/ns/net").st_ino

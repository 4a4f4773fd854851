"""What pip installs works for real: another directory, real BPF, no checkout near it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import zipfile
from pathlib import Path

import pytest

from tests.wheel.installed import REPOSITORY, Installed, checked

CLOSED = ("ESTABLISHED", "CLOSE_WAIT", "LAST_ACK", "CLOSE")


def _package(installed: Installed) -> Path:
    (package,) = installed.home.glob("lib/python3*/site-packages/tracer")
    return package


def _files(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_every_file_of_bpf_is_installed_as_it_is(installed: Installed) -> None:
    """Real files, not a link that leads out of the environment; the licence of bpf/ is among them."""
    bpf = _package(installed) / "bpf"
    assert not bpf.is_symlink()
    assert _files(bpf) == _files(REPOSITORY / "bpf")
    assert (bpf / "LICENSE").is_file()


def test_the_licences_are_told(built: dict[str, Path]) -> None:
    """As PEP 639 wants it: an SPDX expression, and the text of both licences."""
    with zipfile.ZipFile(built["wheel"]) as wheel:
        (metadata,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
        told = wheel.read(metadata).decode()
        texts = {name: wheel.read(name) for name in wheel.namelist() if "/licenses/" in name}
    assert "\nLicense-Expression: Apache-2.0 AND GPL-2.0-only\n" in told
    assert set(texts.values()) == {(REPOSITORY / "LICENSE").read_bytes(), (REPOSITORY / "bpf/LICENSE").read_bytes()}


def test_man_page_and_completions_are_installed(installed: Installed) -> None:
    """Where man and the shells look below a prefix."""
    share = installed.home / "share"
    completions = REPOSITORY / "docs" / "completions"
    assert (share / "man/man1/closetrace.1").read_bytes() == (REPOSITORY / "docs/closetrace.1").read_bytes()
    for shell in ("bash-completion/completions/closetrace.bash", "zsh/site-functions/_closetrace"):
        assert (share / shell).read_bytes() == (completions / Path(shell).name).read_bytes()
    fish = share / "fish/vendor_completions.d/closetrace.fish"
    assert fish.read_bytes() == (completions / "closetrace.fish").read_bytes()


def test_doctor_is_ready_with_the_sources_of_the_environment(installed: Installed) -> None:
    """bpf/ is the environment's own, bcc the distribution's."""
    done = installed.run("doctor", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["ready"] is True
    assert Path(found["sources"]).resolve() == (_package(installed) / "bpf").resolve()


def _function_at(source: list[str], line: int) -> str:
    """The C function whose body has this line (from 1): the last definition that begins at the margin before it."""
    names = (re.match(r"(?:static )?(?:NOINLINE )?\w+ \**(\w+)\(", text) for text in reversed(source[:line]))
    return next(name.group(1) for name in names if name)


def test_demo_finds_the_leaking_function(installed: Installed) -> None:
    """The function that the report marks calls recv in that very line of the demo's source."""
    done = installed.run("demo")
    assert done.returncode == 0, done.stderr
    source = (REPOSITORY / "tracer/demo/leak.c").read_text().splitlines()
    marked = re.search(r"^    > (\w+) +leak\.c:(\d+)$", done.stdout, re.MULTILINE)
    assert marked, done.stdout
    name, line = marked.group(1), int(marked.group(2))
    assert "recv(" in source[line - 1]
    assert _function_at(source, line) == name


def _pair(server: socket.socket) -> tuple[socket.socket, socket.socket]:
    near = socket.create_connection(server.getsockname())
    return near, server.accept()[0]


def test_census_counts_as_ss_does(installed: Installed) -> None:
    """Three sockets of this process in CLOSE_WAIT, by ss and by census."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        kept = [_pair(server) for _ in range(3)]
        for near, far in kept:
            far.close()
            assert near.recv(1) == b""
        port = server.getsockname()[1]
        listed = checked("ss", "-Htn", "state", "close-wait", "dport", "=", f":{port}").splitlines()
        done = installed.run("census", "--json", "--pid", str(os.getpid()), "--remote-port", str(port))
        for near, _ in kept:
            near.close()
    assert done.returncode == 0, done.stderr
    groups = [group for group in json.loads(done.stdout)["groups"] if group["state"] == "CLOSE_WAIT"]
    assert len(listed) == 3
    assert [(group["count"], group["owner"]["pid"]) for group in groups] == [(3, os.getpid())]


def test_tail_tells_the_transitions_of_a_connection(installed: Installed) -> None:
    """A connection of this process, closed by the peer first (RFC 9293, figure 5)."""
    words = [str(installed.command), "tail", "--pid", str(os.getpid()), "--json"]
    with (
        subprocess.Popen(
            words, cwd=installed.elsewhere, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as tail,
        socket.create_server(("127.0.0.1", 0)) as server,
    ):
        assert tail.stdout is not None
        assert tail.stderr is not None
        try:
            said = next((line for line in tail.stderr if "tracing " in line), "")
            assert said, "it ended before it was attached"
            near, far = _pair(server)
            local = "{}:{}".format(*near.getsockname())
            far.close()
            assert near.recv(1) == b""
            near.close()
            told = []
            for event in map(json.loads, tail.stdout):
                if event.get("local") == local:
                    told.append(event["new"])
                if told[-1:] == ["CLOSE"]:
                    break
            tail.send_signal(signal.SIGINT)
            tail.communicate(timeout=60)
        finally:
            tail.kill()
    assert tuple(told[-len(CLOSED) :]) == CLOSED
    assert tail.returncode == 0


def test_the_version_is_told_twice(installed: Installed) -> None:
    """-V is --version."""
    short, long = installed.run("-V"), installed.run("--version")
    assert (short.returncode, short.stdout) == (0, long.stdout)
    assert re.fullmatch(r"closetrace, version [\d.]+\n", short.stdout)


@pytest.mark.parametrize("way", ["PYTHONPATH", "current directory", "user site"])
def test_nothing_of_a_users_is_imported(installed: Installed, tmp_path: Path, way: str) -> None:
    """Each planted module says so in a file. The oracle: python itself, not isolated, imports the planted one."""
    mark = tmp_path / "mark"
    version = checked(installed.home / "bin/python", "-c", "import sys; print('%d.%d' % sys.version_info[:2])").strip()
    user_site = tmp_path / f"lib/python{version}/site-packages"
    user_site.mkdir(parents=True)
    planted = user_site if way == "user site" else tmp_path
    for name in ("sitecustomize", "usercustomize", "bcc", "click", "tabulate", "json", "struct"):
        (planted / f"{name}.py").write_text(f"open({str(mark)!r}, 'a').write({name!r})\n")
    (planted / "tracer").mkdir()
    (planted / "tracer" / "__init__.py").write_text(f"open({str(mark)!r}, 'a').write('tracer')\n")
    env = {**os.environ, "PYTHONUSERBASE": str(tmp_path)}
    env.pop("PYTHONNOUSERSITE", None)  # make sets it
    if way == "PYTHONPATH":
        env["PYTHONPATH"] = str(planted)
    place = planted if way == "current directory" else installed.elsewhere

    python = str(installed.home / "bin/python")
    subprocess.run([python, "-c", "import usercustomize, tracer"], capture_output=True, check=False, cwd=place, env=env)
    assert mark.exists(), "the trap does not work"
    mark.unlink()

    command = [str(installed.command), "--duration", "0.1", "--pid", str(os.getpid())]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=place, env=env)
    assert done.returncode == 0, done.stderr
    assert not mark.exists(), mark.read_text()

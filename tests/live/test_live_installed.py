"""Programs that are installed packages: their functions are told apart, and those of a library are not theirs."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.live.closetrace_command import let_linger, tracing
from tests.live.oracles import ss_close_wait
from tests.live.peers import serving
from tests.unit.present import present

PYTHON = "/usr/bin/python3"
PACKAGE = {
    "__init__.py": "",
    "__main__.py": "from shopd.cli import main\nmain()\n",
    "cli.py": """
import sys
from shopd.orders import fetch_orders
from shopd.stock import fetch_stock

def main():
    for line in sys.stdin:
        fetch_orders(int(line))
        fetch_stock(int(line))
        print("done", flush=True)
""",
    "orders.py": """
from acme_http.get import get

def fetch_orders(port):
    for _ in range(2):
        get(port)
""",
    "stock.py": """
from acme_http.get import get

def fetch_stock(port):
    get(port)
""",
}
LIBRARY = {
    "__init__.py": "",
    "get.py": """
import socket
kept = []

def get(port):
    client = socket.create_connection(("127.0.0.1", port))
    client.recv(100)
    kept.append(client)
""",
}
SCRIPT = """#!{python}
# -*- coding: utf-8 -*-
import re
import sys
from shopd.cli import main
if __name__ == '__main__':
    sys.argv[0] = re.sub(r'(-script\\.pyw|\\.exe)?$', '', sys.argv[0])
    sys.exit(main())
"""
OF_ITS_OWN = "import shopd.cli\n\ndef job():\n    shopd.cli.main()\n\njob()\n"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A venv with the program, a library, its console script as pip writes it, and a script of one's own."""
    place = tmp_path_factory.mktemp("installed")
    subprocess.run([PYTHON, "-m", "venv", "--without-pip", str(place)], check=True)
    (packages,) = place.glob("lib/python3*/site-packages")
    for name, files in (("shopd", PACKAGE), ("acme_http", LIBRARY)):
        (packages / name).mkdir()
        for file, text in files.items():
            (packages / name / file).write_text(text)
    script = place / "bin" / "shopd"
    script.write_text(SCRIPT.format(python=place / "bin" / "python"))
    script.chmod(0o755)
    (place / "link").symlink_to("bin/shopd")
    (place / "job.py").write_text(OF_ITS_OWN)
    return place


@contextlib.contextmanager
def running(*words: str, cwd: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(words, cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def sites_of(cwd: Path, *words: str, sockets: int = 3) -> dict[str, int]:
    """How many sockets the report tells of each first own function of the program. ``ss`` lists as many in all."""
    kept: list[socket.socket] = []

    def answer(client: socket.socket) -> None:
        client.send(b"answer")
        client.shutdown(socket.SHUT_WR)
        kept.append(client)  # a close would answer what the program still sends with a reset

    with serving(answer) as port, running(*words, cwd=cwd) as program, tracing(program.pid) as trace:
        trace.attached()
        present(program.stdin).write(f"{port}\n")
        present(program.stdin).flush()
        assert present(program.stdout).readline() == "done\n"
        let_linger()
        assert len(ss_close_wait({program.pid})) == sockets
        report = trace.stop().report()
    assert sum(site["count"] for site in report["sites"]) == sockets
    return {_function(site): site["count"] for site in report["sites"]}


def _function(site: dict[str, Any]) -> str:
    where = site["application"]
    stack = {"last": "stack", "sent": "sent_stack", "opened": "opened_stack"}.get(where["stack"])
    return str(site[stack][where["index"]]["function"]) if stack is not None else ""


@pytest.mark.parametrize(
    "words", [("bin/shopd",), ("{}/bin/shopd",), ("{}/link",), ("{}/bin/python", "-u", "-m", "shopd")]
)
def test_the_functions_of_a_console_script(environment: Path, words: tuple[str, ...]) -> None:
    """The program's own lie in site-packages, as those of the library do that they call."""
    given = [word.format(environment) for word in words]
    assert sites_of(environment, *given) == {"fetch_orders": 2, "fetch_stock": 1}


def test_a_script_of_ones_own_that_uses_the_package(environment: Path) -> None:
    """Then the package is a library, and the script's function is the program's."""
    assert sites_of(environment, str(environment / "bin" / "python"), "job.py") == {"job": 3}

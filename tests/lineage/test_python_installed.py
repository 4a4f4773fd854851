"""Whose objects hold a socket where the program is an installed package: by what the program itself says of each."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from tests.lineage.pythons import python
from tests.lineage.test_command import hanging_up
from tests.live.closetrace_command import run_closetrace
from tests.unit.present import present

CLIENTS = """
import socket

class Client:
    def __init__(self, port):
        self.sock = socket.create_connection(("127.0.0.1", port))

kept = []
"""
MAIN = """
import sys
import acme_http.clients
import shopd.clients

def main():
    for module in (acme_http.clients, shopd.clients):
        client = module.Client(int(sys.argv[1]))
        module.kept.append(client)
        print("HOLDER", module.__name__, client.sock.getsockname()[1], flush=True)
    del client
    print("READY", flush=True)
    sys.stdin.readline()
"""
FILES = {
    "site-packages/acme_http/clients.py": CLIENTS,
    "site-packages/shopd/clients.py": CLIENTS,
    "site-packages/shopd/main.py": MAIN,
    "site-packages/shopd/__main__.py": "from shopd.main import main\nmain()\n",
    "job.py": "from shopd.main import main\nmain()\n",
}


def holders(place: Path, *words: str) -> dict[str, tuple[bool, str]]:
    """For each module whether the report calls its object the program's own, and the chain."""
    for file, text in FILES.items():
        (place / file).parent.mkdir(parents=True, exist_ok=True)
        (place / file).write_text(text)
    environment = {"PYTHONPATH": str(place / "site-packages")}
    told: dict[str, tuple[bool, str]] = {}
    with (
        hanging_up() as port,
        subprocess.Popen(
            [python(11).command, *words, str(port)],
            cwd=place,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        modules = {}
        for line in iter(present(process.stdout).readline, "READY\n"):
            _, module, local = line.split()
            modules[local] = module
        report = run_closetrace("--pid", str(process.pid), "--linger", "1", "--duration", "3", "--json").report()
        process.kill()
    for site in report["sites"]:
        for one in site["sockets"]:
            held = site["held_by"][one["held_by"]]
            told[modules[one["local"].rpartition(":")[2]]] = (_is_own(held), held["text"])
    return told


def _is_own(held: dict[str, Any]) -> bool:
    return bool(held["root"]["own"] or any(link["own"] for link in held["links"]))


CHAIN = "Client.sock <- module {}: kept"


def test_the_package_that_is_the_program_holds_its_own(tmp_path: Path) -> None:
    """The library's object is the library's."""
    assert holders(tmp_path, "-m", "shopd") == {
        "shopd.clients": (True, CHAIN.format("shopd.clients")),
        "acme_http.clients": (False, CHAIN.format("acme_http.clients")),
    }


def test_a_package_that_a_script_uses_is_a_library(tmp_path: Path) -> None:
    """Both are."""
    assert holders(tmp_path, "job.py") == {
        "shopd.clients": (False, CHAIN.format("shopd.clients")),
        "acme_http.clients": (False, CHAIN.format("acme_http.clients")),
    }

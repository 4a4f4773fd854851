"""Real servers with an idle limit, on loopback, as children of the test: PostgreSQL and Redis."""

from __future__ import annotations

import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.live.oracles import ss
from tests.systems.software import START_LIMIT_S, child

_POSTGRES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


def free_port() -> int:
    """A port of loopback that nobody has just now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _until_it_listens(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_LIMIT_S
    while not any(line.state == "LISTEN" for line in ss("sport", "=", f":{port}")):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.05)


@contextmanager
def postgres(idle_s: int) -> Iterator[int]:
    """A PostgreSQL that ends a session after ``idle_s`` seconds without a statement; yields its port."""
    with tempfile.TemporaryDirectory(prefix="closetrace-postgres-") as name:
        subprocess.run(["chown", "postgres", name], check=True)
        as_postgres = ("setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups")
        data, port = f"{name}/data", free_port()
        quiet = ("-A", "trust", "-U", "postgres", "--no-sync", "-D", data)
        subprocess.run([*as_postgres, str(_POSTGRES[-1] / "initdb"), *quiet], check=True, stdout=subprocess.DEVNULL)
        options = ("-h", "127.0.0.1", "-k", name, "-p", str(port), "-F", "-c", f"idle_session_timeout={idle_s}s")
        in_transaction = ("-c", f"idle_in_transaction_session_timeout={idle_s}s")
        words = (*as_postgres, str(_POSTGRES[-1] / "postgres"), "-D", data, *options, *in_transaction)
        with child(*words, log=Path(name) / "log") as process:
            _until_it_listens(port, process, Path(name) / "log")
            yield port


@contextmanager
def redis(idle_s: int) -> Iterator[int]:
    """A Redis that closes a connection after ``idle_s`` seconds of silence; yields its port."""
    with tempfile.TemporaryDirectory(prefix="closetrace-redis-") as name:
        port = free_port()
        words = ("redis-server", "--port", str(port), "--bind", "127.0.0.1", "--timeout", str(idle_s), "--save", "")
        with child(*words, "--dir", name, log=Path(name) / "log") as process:
            _until_it_listens(port, process, Path(name) / "log")
            yield port

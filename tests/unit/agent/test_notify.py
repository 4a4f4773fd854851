"""What the service manager gets: one datagram for each change (sd_notify(3))."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tracer.agent.notify import Notifier


class Manager:
    """The service manager's end."""

    def __init__(self, address: str) -> None:
        self.line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.line.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        self.line.setblocking(False)
        self.address = address

    def heard(self) -> list[str]:
        """All datagrams so far."""
        found = []
        while True:
            try:
                found.append(self.line.recv(4096).decode())
            except BlockingIOError:
                return found


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    made = Manager(str(tmp_path / "notify") if request.param == "path" else f"@closetrace-test-{os.getpid()}")
    yield made
    made.line.close()


def test_each_change_is_told(manager: Manager) -> None:
    """Ready, reloading with the time, ready again, stopping; also at an abstract address."""
    environment = {"NOTIFY_SOCKET": manager.address, "HOME": "/"}
    notifier = Notifier(environment)
    assert environment == {"HOME": "/"}
    notifier.ready("records all")
    notifier.reloading()
    notifier.stopping()
    notifier.alive()
    ready, reloading, stopping = manager.heard()
    assert ready == "READY=1\nSTATUS=records all"
    first, second = reloading.split("\n")
    assert first == "RELOADING=1"
    assert second.startswith("MONOTONIC_USEC=")
    assert stopping == "STOPPING=1"


def test_the_watchdog_hears_twice_in_its_time(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not more often, though it is called ten times a second."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    notifier = Notifier(
        {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "2000000", "WATCHDOG_PID": str(os.getpid())}
    )
    for _ in range(35):
        notifier.alive()
        now[0] += 0.1
    assert manager.heard() == ["WATCHDOG=1"] * 4


def test_long_work_is_told(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a compiler works the manager waits for longer, at a start as well, and the watchdog hears of it."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    notifier = Notifier({"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "20000000"})
    for _ in range(40):
        notifier.busy()
        now[0] += 1.0
    heard = manager.heard()
    assert heard.count("EXTEND_TIMEOUT_USEC=60000000") == 3
    assert heard.count("WATCHDOG=1") == 4
    Notifier({"NOTIFY_SOCKET": manager.address}).busy()
    assert manager.heard() == ["EXTEND_TIMEOUT_USEC=60000000"]


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"NOTIFY_SOCKET": "/nonexistent/notify"},
        {"NOTIFY_SOCKET": "vsock:2:1"},
        {"WATCHDOG_USEC": "1"},
        {"NOTIFY_SOCKET": "/nonexistent/notify", "WATCHDOG_USEC": "soon"},
        {"NOTIFY_SOCKET": "/nonexistent/notify", "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1"},
    ],
)
def test_without_a_manager_nothing_happens(environment: dict[str, str]) -> None:
    """It never raises."""
    notifier = Notifier(environment)
    notifier.ready("")
    notifier.reloading()
    notifier.alive()
    notifier.busy()
    notifier.stopping()

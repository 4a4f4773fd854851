"""Tells the service manager how this service is: one datagram for each change (sd_notify(3))."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import MutableMapping
from typing import Optional

_EXTENSION_S = 60.0
"""So long the service manager is asked to wait for the next word, also if its limit for a start or a reload is over."""


class Notifier:
    """Sends states to the socket that ``environment`` names. Does nothing where it names none. Never raises.

    It takes the variables out of ``environment``: processes that are started later are not the service.
    """

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        self._address = environment.pop("NOTIFY_SOCKET", "")
        usec, pid = environment.pop("WATCHDOG_USEC", ""), environment.pop("WATCHDOG_PID", "")
        mine = not pid or pid == str(os.getpid())
        self._alive_every_s = int(usec) / 2e6 if self._address and mine and usec.isdigit() else None
        self._next_alive: Optional[float] = None
        self._next_extension = 0.0

    def ready(self, status: str) -> None:
        """It has started, or has read its configuration again."""
        self._send("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """It reads its configuration again."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """It ends."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        """It still works. To be called often: this sends no more than is needed."""
        now = time.monotonic()
        if self._alive_every_s is not None and (self._next_alive is None or now >= self._next_alive):
            self._next_alive = now + self._alive_every_s
            self._send("WATCHDOG=1")

    def busy(self) -> None:
        """It works on something that takes long, and can do nothing else. To be called about once a second."""
        self.alive()
        now = time.monotonic()
        if now >= self._next_extension:
            self._next_extension = now + _EXTENSION_S / 4
            self._send(f"EXTEND_TIMEOUT_USEC={round(_EXTENSION_S * 1e6)}")

    def _send(self, *lines: str) -> None:
        if not self._address.startswith(("/", "@")):
            return
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, kind) as line:
            line.sendto("\n".join(lines).encode(), address)

"""A headless Chromium by its own protocol over two pipes (https://chromedevtools.github.io/devtools-protocol).

Chromium reads commands from descriptor 3 and writes answers to 4, each a JSON text that ends with a NUL
(``--remote-debugging-pipe``). So the test needs no driver and no port.
"""

from __future__ import annotations

import base64
import json
import os
import select
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Optional

CHROMIUM = "chromium"
_PATIENCE_S = 60.0
_KEYS = {
    "Enter": ("Enter", 13, "\r"),
    "Escape": ("Escape", 27, ""),
    "Tab": ("Tab", 9, ""),
    "ArrowDown": ("ArrowDown", 40, ""),
    "ArrowUp": ("ArrowUp", 38, ""),
}


class Browser:
    """One tab. ``said`` has what the page's console said, and all errors; ``asked`` has all requests."""

    def __init__(self) -> None:
        """Start Chromium with a profile of its own."""
        self.said: list[str] = []
        self.asked: list[str] = []
        self.dialogs: list[str] = []
        self._profile = tempfile.TemporaryDirectory(prefix="closetrace-page-")
        command_read, self._write = os.pipe()
        self._read, answer_write = os.pipe()
        self._process = subprocess.Popen(
            ["bash", "-c", f'exec 3<&{command_read} 4>&{answer_write}; exec "$@"', "bash", *self._command()],
            pass_fds=(command_read, answer_write),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(command_read)
        os.close(answer_write)
        self._buffer, self._number, self._session = b"", 0, ""
        target = self.do("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.do("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.do(f"{domain}.enable")

    def _command(self) -> list[str]:
        return [
            CHROMIUM,
            "--headless=new",
            "--no-sandbox",  # root may not have one
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--no-first-run",
            "--hide-scrollbars",
            f"--user-data-dir={self._profile.name}",
            "--remote-debugging-pipe",
        ]

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._read)
        os.close(self._write)
        for _ in range(50):
            try:
                self._profile.cleanup()
                return
            except OSError:  # its children still write
                time.sleep(0.1)

    def do(self, method: str, **params: Any) -> dict[str, Any]:
        """Run one command and return its result."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return dict(answer["result"])

    def _next(self) -> dict[str, Any]:
        deadline = time.monotonic() + _PATIENCE_S
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], max(deadline - time.monotonic(), 0))
            assert ready, "Chromium does not answer"
            piece = os.read(self._read, 1 << 20)
            assert piece, "Chromium has ended"
            self._buffer += piece
        text, _, self._buffer = self._buffer.partition(b"\0")
        answer = dict(json.loads(text))
        self._heard(answer)
        return answer

    def _heard(self, event: dict[str, Any]) -> None:
        method, params = event.get("method"), event.get("params", {})
        if method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.said.append(details.get("exception", {}).get("description") or details["text"])
        elif method == "Runtime.consoleAPICalled":
            self.said.append(f"console.{params['type']}")
        elif method == "Log.entryAdded":
            self.said.append(params["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.asked.append(params["request"]["url"])
        elif method == "Page.javascriptDialogOpening":
            self.dialogs.append(params["message"])

    def open(self, page: Path) -> None:
        """Load a file and wait until it is drawn."""
        self.do("Page.navigate", url=page.as_uri())
        deadline = time.monotonic() + _PATIENCE_S
        while self.js("document.readyState") != "complete":
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def js(self, expression: str) -> Any:
        """The value of an expression in the page."""
        found = self.do("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def press(self, key: str) -> None:
        """Press and release a key, as a person does."""
        name, code, text = _KEYS.get(key, (key, ord(key.upper()[0]), key))
        event = {"key": name, "code": name, "windowsVirtualKeyCode": code, "text": text}
        self.do("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", **event)
        self.do("Input.dispatchKeyEvent", type="keyUp", **event)

    def type(self, text: str) -> None:
        """Enter a text where the focus is."""
        self.do("Input.insertText", text=text)

    def look(self, *, width: int = 1200, height: int = 900, scheme: str = "light", media: str = "") -> None:
        """Set the window's size, the colours that the user prefers, and the medium."""
        self.do("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.do("Emulation.setEmulatedMedia", media=media, features=features)

    def shoot(self, file: Path, *, whole: bool = True) -> None:
        """Save a picture of the page."""
        shot = self.do("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        file.write_bytes(base64.b64decode(shot["data"]))

    def pdf(self) -> bytes:
        """The page as it would be printed."""
        return base64.b64decode(self.do("Page.printToPDF", printBackground=False)["data"])

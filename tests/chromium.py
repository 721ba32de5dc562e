"""A headless Chromium, driven by its DevTools protocol over two pipes: no port, no driver and no library.

with Chromium() as browser:
    page = browser.open("file:///…", width=1440, height=900)
    page.run("document.title")
"""

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# No network, no first-run pages, and the same picture wherever it runs, as far as a browser can.
WORDS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-quic", "--hide-scrollbars", "--mute-audio",
    "--force-color-profile=srgb", "--font-render-hinting=none", "--disable-lcd-text", "--disable-dev-shm-usage",
    "--proxy-server=127.0.0.1:9", "--remote-debugging-pipe",
)  # fmt: skip
LONGEST = 60.0  # seconds for one answer


def find() -> str | None:
    """Where Chromium is; None if there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Chromium:
    """One browser process, which ends with the `with`."""

    def __init__(self) -> None:
        self._last = 0
        self._left = b""
        self.events: list[dict[str, Any]] = []

    def __enter__(self) -> "Chromium":
        path = find()
        assert path, "there is no Chromium on the PATH"
        self._folder = tempfile.mkdtemp(prefix="canaryfleet-chromium-")
        theirs_in, self._to = os.pipe()
        self._from, theirs_out = os.pipe()
        # Chromium reads from 3 and writes to 4; bash puts them there (sh knows no numbers of two digits).
        script = f'exec "$0" "$@" 3<&{theirs_in} 4>&{theirs_out}'
        words = ["bash", "-c", script, path, *WORDS, f"--user-data-dir={self._folder}", "about:blank"]
        self._process = subprocess.Popen(
            words, pass_fds=(theirs_in, theirs_out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(theirs_in)
        os.close(theirs_out)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError, AssertionError):
            self.call("Browser.close")
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._to)
        os.close(self._from)
        shutil.rmtree(self._folder, ignore_errors=True)

    def call(self, method: str, session: str | None = None, /, **params: Any) -> dict[str, Any]:
        """What the browser answers to a command; AssertionError if it refuses it."""
        self._last += 1
        said: dict[str, Any] = {"id": self._last, "method": method, "params": params}
        data = json.dumps(said | ({"sessionId": session} if session else {})).encode() + b"\0"
        while data:
            data = data[os.write(self._to, data) :]
        while True:
            found = self._read()
            if found.get("id") == self._last:
                assert "error" not in found, f"{method}: {found['error']}"
                result: dict[str, Any] = found["result"]
                return result
            self.events.append(found)

    def _read(self) -> dict[str, Any]:
        until = time.monotonic() + LONGEST
        parts = [self._left]
        while b"\0" not in parts[-1]:
            ready, _, _ = select.select([self._from], [], [], max(0.0, until - time.monotonic()))
            assert ready, "Chromium does not answer"
            parts.append(os.read(self._from, 1 << 20))
            assert parts[-1], "Chromium is gone"
        message, _, self._left = b"".join(parts).partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found

    def wait(self, method: str, session: str) -> None:
        """Until an event was seen since the last `forget`."""
        while not any(
            item.get("method") == method and item.get("sessionId") == session for item in self.events
        ):
            self.events.append(self._read())

    def open(
        self, address: str, *, width: int = 1440, height: int = 900, dark: bool = False, phone: bool = False
    ) -> "Page":
        """A page that has loaded, in a tab of its own."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session, target)
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.call(f"{domain}.enable")
        page.size(width, height, phone=phone)
        page.scheme(dark=dark)
        page.load(address)
        return page


class Page:
    """A tab."""

    def __init__(self, browser: Chromium, session: str, target: str) -> None:
        self._browser, self._session, self._target = browser, session, target

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """A command to this tab."""
        return self._browser.call(method, self._session, **params)

    def load(self, address: str) -> None:
        """Go to an address, and wait until all of it has loaded."""
        self._browser.events = [
            item for item in self._browser.events if item.get("sessionId") != self._session
        ]
        self.call("Page.navigate", url=address)
        self._browser.wait("Page.loadEventFired", self._session)

    def size(self, width: int, height: int, *, phone: bool = False) -> None:
        """How large the window is, in CSS pixels."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=phone,
        )

    def scheme(self, *, dark: bool, still: bool = True) -> None:
        """Dark or light, and whether things may move."""
        wanted = {
            "prefers-color-scheme": "dark" if dark else "light",
            "prefers-reduced-motion": "reduce" if still else "",
        }
        features = [{"name": name, "value": value} for name, value in wanted.items()]
        self.call("Emulation.setEmulatedMedia", features=features)

    def run(self, script: str) -> Any:
        """The value of an expression; a promise is waited for."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def press(self, *keys: str) -> None:
        """Keys, by the names that the web has for them."""
        codes = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32}
        for key in keys:
            text = {"Enter": "\r", " ": " "}.get(key, key if len(key) == 1 else None)
            about = {"key": key, "windowsVirtualKeyCode": codes.get(key, ord(key[0].upper()))}
            down = about | ({"text": text} if text else {})
            self.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", **down)
            self.call("Input.dispatchKeyEvent", type="keyUp", **about)

    def screenshot(self, *, whole: bool = False) -> bytes:
        """What is seen, or the page as a whole, as PNG."""
        if whole:  # a window as high as the page: what is fixed to the window is in it once
            width, height = self.run("[innerWidth, document.documentElement.scrollHeight]")
            self.size(width, height)
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def said(self) -> list[str]:
        """What the console and the browser have complained about, and every address that was asked for."""
        found: list[str] = []
        for item in self._browser.events:
            if item.get("sessionId") == self._session:
                found += _complaint(item)
        return found

    def close(self) -> None:
        """Away with it."""
        self._browser.call("Target.closeTarget", targetId=self._target)


def _complaint(event: dict[str, Any]) -> Sequence[str]:
    params = event.get("params", {})
    match event.get("method"):
        case "Runtime.consoleAPICalled":
            return [f"console.{params['type']}: {params['args']}"]
        case "Runtime.exceptionThrown":
            return [f"exception: {params['exceptionDetails']}"]
        case "Log.entryAdded":
            return [f"log: {params['entry']['text']}"]
        case "Network.requestWillBeSent" if not params["request"]["url"].startswith(
            ("file:", "about:", "data:")
        ):
            return [f"network: {params['request']['url']}"]
        case _:
            return []


def address(path: Path) -> str:
    """A file's address."""
    return path.resolve().as_uri()

"""Headless Chromium for tests, driven over a pipe by the DevTools protocol: no driver, no package, no port."""

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

_KEYS = {"Enter": (13, "\r"), "Escape": (27, ""), "ArrowUp": (38, ""), "ArrowRight": (39, ""), "ArrowDown": (40, "")}
"""Windows key code and text of keys that are no letter."""

_DECODED = """Promise.all([...document.images].filter((image) => image.loading !== "lazy")
  .map((image) => image.decode())).then(() => true)"""

_PATIENCE_S = 30.0


@dataclass
class Page:
    """One tab."""

    browser: "Chromium"
    session: str
    target: str

    def open(self, path: Path, width: int, height: int = 1080) -> None:
        """Open a file from disk in a window of this size, CSS pixels, with the network switched off."""
        self.send("Network.enable")
        self.send("Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=0, uploadThroughput=0)
        self.visit(path.as_uri(), width, height)
        self.wait(f"document.readyState === 'complete' && location.href === {json.dumps(path.as_uri())}")
        self.evaluate(_DECODED)

    def visit(self, url: str, width: int, height: int) -> None:
        """Begin to load a page in a window of this size, CSS pixels."""
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.send("Page.navigate", url=url)

    def evaluate(self, script: str) -> Any:
        """Value of an expression, or of the promise that it is."""
        answer = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"]["exception"]["description"])
        return answer["result"].get("value")

    def wait(self, condition: str) -> None:
        """Wait until an expression is true."""
        for _ in range(200):
            if self.evaluate(condition):
                return
            time.sleep(0.05)
        raise RuntimeError(f"never true: {condition}")

    def press(self, key: str) -> None:
        """Press and release a key, as the keyboard does."""
        code, text = _KEYS.get(key) or (ord(key.upper()), key)
        event = {"key": key, "windowsVirtualKeyCode": code}
        self.send("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", text=text, **event)
        self.send("Input.dispatchKeyEvent", type="keyUp", **event)

    def type(self, text: str) -> None:
        """Type text into what has the focus."""
        self.send("Input.insertText", text=text)

    def screenshot(self, path: Path) -> None:
        """Write what the window shows as PNG."""
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(base64.b64decode(self.send("Page.captureScreenshot", format="png")["data"]))

    def complaints(self) -> list[str]:
        """What reached the console, and every error, refused load and exception so far."""
        kinds = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded", "Network.loadingFailed")
        return [json.dumps(event) for event in self._events() if event["method"] in kinds]

    def requests(self) -> list[str]:
        """Addresses of all that was loaded so far, data URIs left out."""
        urls = [
            event["params"]["request"]["url"]
            for event in self._events()
            if event["method"] == "Network.requestWillBeSent"
        ]
        return [url for url in urls if not url.startswith("data:")]

    def send(self, method: str, **parameters: Any) -> Any:
        """Send a command of the protocol and return its result."""
        return self.browser.send(method, self.session, **parameters)

    def _events(self) -> list[Any]:
        return [event for event in self.browser.events if event.get("sessionId") == self.session]


@dataclass
class Chromium:
    """A running browser."""

    writer: int
    reader: int
    events: list[Any] = field(default_factory=list)
    _count: int = 0
    _rest: bytes = b""

    def new_page(self) -> Page:
        """Open an empty tab."""
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        return Page(self, session, target)

    def close(self, page: Page) -> None:
        """Close a tab and forget what happened in it."""
        self.send("Target.closeTarget", targetId=page.target)
        self.events.clear()

    def send(self, method: str, session: str = "", **parameters: Any) -> Any:
        """Send a command and return its result; events that come first are kept."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        os.write(self.writer, json.dumps({**message, "sessionId": session} if session else message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._count:
                break
            self.events.append(answer)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def _receive(self) -> Any:
        while b"\0" not in self._rest:
            if not select.select([self.reader], [], [], _PATIENCE_S)[0]:
                raise RuntimeError(f"Chromium has not answered for {_PATIENCE_S:g} s")
            part = os.read(self.reader, 1 << 16)
            if not part:
                raise RuntimeError("Chromium ended")
            self._rest += part
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)


@contextmanager
def running_chromium(profile: Path, namespace: str | None = None) -> Iterator[Chromium]:
    """Start Chromium with an empty profile folder; skip the test where it is not installed.

    Parameters
    ----------
    namespace : network namespace to start it in; it then draws WebGL in software, which viewers need
    """
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("Chromium is missing; it is in the Debian package chromium")
    command = [program, "--headless=new", "--no-sandbox", "--remote-debugging-pipe", f"--user-data-dir={profile}"]
    command += ["--no-first-run", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage"]
    if namespace is not None:
        command = ["ip", "netns", "exec", namespace, *command, "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
    (from_us, writer), (reader, to_us) = os.pipe(), os.pipe()
    # The browser reads commands from descriptor 3 and answers on 4.
    shell = ["bash", "-c", f'exec "$@" 3<&{from_us} 4>&{to_us}', "bash", *command]
    with (profile / "log").open("wb") as log:
        process = subprocess.Popen(shell, pass_fds=(from_us, to_us), stdout=log, stderr=log)
    os.close(from_us)
    os.close(to_us)
    try:
        yield Chromium(writer, reader)
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        os.close(writer)
        os.close(reader)

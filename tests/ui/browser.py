"""A headless Chromium over its debugging pipe: no driver, no port, no package."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = next(
    (
        path
        for name in ("chromium", "chromium-browser", "google-chrome")
        if (path := shutil.which(name))
    ),
    None,
)
_SECONDS = 60.0
_CLICK = """(label) => {
  const all = [...document.querySelectorAll("a, button, summary")];
  const found = all.find((each) => each.innerText.trim() === label);
  if (!found) return false;
  found.click();
  return true;
}"""
_FILL = """(label, value) => {
  const named = [...document.querySelectorAll("label")].find((each) => each.innerText.trim() === label);
  if (!named || !named.control) return false;
  named.control.value = value;
  return true;
}"""


class Browser:
    """One tab."""

    def __init__(self, process: subprocess.Popen[bytes], to: int, back: int) -> None:
        self._process, self._to, self._back = process, to, back
        self._last, self._rest = 0, b""
        target = self._send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._send("Target.attachToTarget", targetId=target, flatten=True)[
            "sessionId"
        ]
        self.complaints: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._send(f"{domain}.enable")

    def open(self, url: str) -> None:
        self._send("Page.navigate", url=url)
        self.wait_for("document.readyState === 'complete'")

    def run(self, expression: str) -> Any:
        done = self._send("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    def wait_for(self, expression: str) -> None:
        end = time.monotonic() + _SECONDS
        while not self._holds(expression):
            assert time.monotonic() < end, f"never true: {expression}; {self.text()[:2000]}"
            self._send("Browser.getVersion")

    def wait_for_text(self, text: str) -> None:
        self.wait_for(f"document.body && document.body.innerText.includes({json.dumps(text)})")

    def text(self) -> str:
        return str(self.run("document.body.innerText"))

    def click(self, label: str) -> None:
        """Click what a person would read, and wait for the page that it leads to."""
        self.run("document.documentElement.dataset.left = 'yes'")
        assert self.run(f"({_CLICK})({json.dumps(label)})"), f"nothing is called {label!r}"
        self.wait_for(
            "document.readyState === 'complete' && !document.documentElement.dataset.left"
        )

    def fill(self, label: str, value: str) -> None:
        """Fill in what stands under that label."""
        filled = self.run(f"({_FILL})({json.dumps(label)}, {json.dumps(value)})")
        assert filled, f"no input is labelled {label!r}"

    def press(self, key: str) -> None:
        """Press and let go."""
        for kind in ("rawKeyDown", "keyUp"):
            self._send(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=9
            )

    def look(self, *, width: int, dark: bool = False) -> None:
        """A window so wide, in light or dark."""
        self._send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=False,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._send("Emulation.setEmulatedMedia", features=[scheme])

    def script(self, *, runs: bool) -> None:
        self._send("Emulation.setScriptExecutionDisabled", value=not runs)

    def picture(self, path: Path) -> None:
        shot = self._send("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def _holds(self, expression: str) -> bool:
        # Between two pages there is nothing to ask.
        done = self._send(
            "Runtime.evaluate", expression=expression, returnByValue=True, lenient=True
        )
        return bool(done.get("result", {}).get("value"))

    def _send(self, method: str, *, lenient: bool = False, **given: Any) -> dict[str, Any]:
        self._last += 1
        message: dict[str, Any] = {"id": self._last, "method": method, "params": given}
        if hasattr(self, "_session") and not method.startswith(("Target.", "Browser.")):
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while (answer := self._receive()).get("id") != self._last:
            self._hear(answer)
        assert lenient or "error" not in answer, answer
        result: dict[str, Any] = answer.get("result", {})
        return result

    def _hear(self, event: dict[str, Any]) -> None:
        """What the page complains about: a broken policy, a script that failed."""
        if event.get("method") == "Log.entryAdded":
            self.complaints.append(event["params"]["entry"]["text"])
        if event.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(event["params"]["exceptionDetails"]["text"])

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._back], [], [], _SECONDS)
            assert ready, "the browser does not answer"
            some = os.read(self._back, 1 << 20)
            assert some, "the browser is gone"
            self._rest += some
        whole, _, self._rest = self._rest.partition(b"\0")
        found: dict[str, Any] = json.loads(whole)
        return found


@contextmanager
def browsing(profile: Path) -> Iterator[Browser]:
    """A browser with a profile of its own, which ends with the block."""
    assert CHROMIUM is not None
    (theirs_in, ours_out), (ours_in, theirs_out) = os.pipe(), os.pipe()

    def wire() -> None:
        # Chromium reads from 3 and writes to 4; neither may be overwritten before it was copied.
        kept_in, kept_out = os.dup(theirs_in), os.dup(theirs_out)
        for kept in (kept_in, kept_out):
            assert kept > 4
        os.dup2(kept_in, 3)
        os.dup2(kept_out, 4)

    command = [
        CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        "--no-first-run", "--disable-extensions", "--disable-background-networking",
        "--remote-debugging-pipe", f"--user-data-dir={profile}",
    ]  # fmt: skip
    process = subprocess.Popen(
        command,
        preexec_fn=wire,  # noqa: PLW1509 - two numbers are moved, nothing else
        close_fds=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    for end in (theirs_in, theirs_out):
        os.close(end)
    try:
        yield Browser(process, ours_out, ours_in)
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
        process.wait()
        for end in (ours_out, ours_in):
            os.close(end)

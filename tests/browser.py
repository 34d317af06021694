"""A real browser for tests of the web page: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

    from backends import Backend
    from devserver import DevServer

ROOT = Path(__file__).resolve().parent.parent
PATIENCE_MS = 30_000
DESK = (1280, 860)
PHONE = (390, 844)
# Without these, Chromium asks hosts of its own for updates and the like.
QUIET = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
]
# Checks a guard for each line "name property=value ..." and answers with a line.
APPLICATION = """
import sys
from liteguard import LiteguardClient
client = LiteguardClient(
    refresh_rate_seconds=0.2, reload_rate_seconds=0.05, flush_rate_seconds=0.2
)
client.start()
for line in sys.stdin:
    name, *pairs = line.split()
    properties = dict(pair.split("=") for pair in pairs)
    is_open = client.is_open(name, properties=properties)
    print("open" if is_open else "closed", flush=True)
client.shutdown()
"""


class Application:
    """A program that asks for guards when told to.

    Args:
        process: It, running `APPLICATION`.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def check(self, name: str, **properties: str) -> str:
        """Have it check a guard; return "open" or "closed"."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        pairs = (f"{key}={value}" for key, value in properties.items())
        self._process.stdin.write(" ".join([name, *pairs]) + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()


@contextlib.contextmanager
def application(backend: DevServer | Backend, state_dir: Path) -> Iterator[Application]:
    """Run a program that uses the client, with the backend's token and address."""
    variables = {
        "LITEGUARD_TOKEN": backend.token,
        "LITEGUARD_ENVIRONMENT": backend.environment,
        "LITEGUARD_BACKEND_URL": backend.url,
        "LITEGUARD_STATE_DIR": str(state_dir),
        "PYTHONPATH": str(ROOT),
    }
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", APPLICATION],
        env={**os.environ, **variables},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Application(process)
            assert process.stdin is not None
            process.stdin.close()
            assert process.wait(PATIENCE_MS / 1000) == 0
        finally:
            process.kill()


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Run a browser without a window."""
    path = shutil.which("chromium")
    assert path, "chromium is missing: `python3 tests` installs it"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=QUIET, chromium_sandbox=False
        )
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def opened(
    browser: Browser,
    url: str,
    *,
    size: tuple[int, int] = DESK,
    theme: Optional[Any] = None,
    script: str = "",
) -> Iterator[Page]:
    """Open a page with a profile of its own; fail if anything went wrong in it.

    Args:
        browser: Where to open it.
        url: Its address; the page may ask no other host.
        size: Width and height of the window.
        theme: What the system prefers, "light" or "dark".
        script: Run in the page before its own.

    Raises:
        AssertionError: A script failed, the browser refused something, or a request
            went to another host.
    """
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, color_scheme=theme
    )
    context.set_default_timeout(PATIENCE_MS)
    context.add_init_script(script)
    page = context.new_page()
    troubles: list[str] = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("console", lambda line: troubles.extend(_worth_telling(line.text)))
    page.on("request", lambda sent: troubles.extend(_elsewhere(sent.url, url)))
    try:
        page.goto(url)
        yield page
    finally:
        context.close()
    assert not troubles, troubles


def _worth_telling(text: str) -> list[str]:
    # The browser notes each answer with an error status, expected or not.
    return [] if text.startswith("Failed to load resource: the server") else [text]


def _elsewhere(requested: str, url: str) -> list[str]:
    origin = "/".join(url.split("/")[:3])
    is_here = requested.startswith((origin + "/", "blob:", "data:"))
    return [] if is_here else [f"asked elsewhere: {requested}"]

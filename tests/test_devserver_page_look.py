"""How the web page looks: each tab, light and dark, at a desk and on a phone.

The pictures are kept for looking at them: in the folder that the variable
`SCREENSHOTS` names, or else in pytest's own. Some of them are in docs/.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from backends import Backend
from browser import DESK, PATIENCE_MS, PHONE, chromium, opened
from pagedata import fill

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

    from devserver import DevServer

pytestmark = pytest.mark.timeout(180)
expect.set_options(timeout=PATIENCE_MS)

TABS = {
    "guards": ("/", "search.fuzzy-matching"),
    "guard": ("/guard", "default open → closed"),
    "monitor": ("/monitor", "shop/search.py:14"),
    "processes": ("/processes", "4704"),
    "setup": ("/setup", ", here"),
}
# Google's bound of what visitors do not notice.
MOST_SHIFT = 0.1
COUNT_SHIFTS = """
window.shift = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) {
    if (!entry.hadRecentInput) window.shift += entry.value;
  }
}).observe({ type: "layout-shift", buffered: true });
"""
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Run one browser for all tests of this module."""
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def shop(devserver: DevServer) -> Backend:
    """Return an environment with guards and signals to look at."""
    backend = Backend(devserver, "shop")
    fill(backend)
    return backend


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder where pictures go."""
    folder = Path(os.environ.get("SCREENSHOTS") or tmp_path_factory.mktemp("pictures"))
    folder.mkdir(exist_ok=True)
    return folder


def address(shop: Backend, name: str) -> str:
    """Return a tab's address."""
    guard = "&guard=payments.checkout" if name == "guard" else ""
    return f"{shop.url}{TABS[name][0]}?env={shop.environment}{guard}"


def wait_until_drawn(page: Page, name: str) -> None:
    """Wait for what comes last on a tab, and for the chart's first stroke."""
    expect(page.get_by_text(TABS[name][1]).first).to_be_attached()
    expect(page.locator(".live")).to_have_attribute("title", "Live")
    page.evaluate("() => new Promise((done) => requestAnimationFrame(done))")
    # Before the click: what it changes on a busy machine may come late, and may jump.
    assert page.evaluate("window.shift") < MOST_SHIFT
    if name == "guard":
        page.get_by_role("button", name="Use the last check's").click()
        expect(page.get_by_text(re.compile("rule . decides"))).to_be_visible()


def check_access(page: Page) -> None:
    """Hold the page against the usual rules for those who see or hear it only."""
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("name", TABS)
def test_tab_looks_right(
    browser: Browser, shop: Backend, pictures: Path, name: str
) -> None:
    """Nothing sticks out or jumps, everything has a name and enough contrast."""
    with opened(browser, address(shop, name), script=COUNT_SHIFTS) as page:
        for device, size in (("", DESK), ("-phone", PHONE)):
            page.set_viewport_size({"width": size[0], "height": size[1]})
            page.reload()
            wait_until_drawn(page, name)
            assert page.evaluate(OVERFLOW) == 0
            for theme in ("light", "dark"):
                page.emulate_media(color_scheme=theme)
                page.screenshot(
                    path=pictures / f"dev-server-{name}-{theme}{device}.png"
                )
                if size == DESK:
                    check_access(page)


def test_theme_can_be_chosen_and_is_kept(browser: Browser, shop: Backend) -> None:
    """The switch overrules what the system prefers, also after a reload."""
    with opened(browser, address(shop, "guards"), theme="light") as page:
        background = "getComputedStyle(document.body).backgroundColor"
        light = page.evaluate(background)
        page.get_by_role("button", name="dark colours").click()
        dark = page.evaluate(background)
        page.reload()
        expect(page.get_by_role("button", name="dark colours")).to_have_attribute(
            "aria-pressed", "true"
        )
        assert page.evaluate(background) == dark != light


def test_guard_can_be_changed_by_keyboard_alone(
    browser: Browser, shop: Backend
) -> None:
    """Tab and space reach and use what a mouse would, and the focus can be seen."""
    shop.create_guard("aaa.keyboard")
    with opened(browser, address(shop, "guards")) as page:
        switch = page.get_by_role("switch", name="Default of aaa.keyboard")
        expect(switch).to_be_visible()
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
        page.keyboard.press("Enter")
        for _ in range(30):
            page.keyboard.press("Tab")
            if (
                page.evaluate("document.activeElement.ariaLabel")
                == "Default of aaa.keyboard"
            ):
                break
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid"
        page.keyboard.press("Space")
        expect(switch).to_have_attribute("aria-checked", "true")
    shop.delete_guard("aaa.keyboard")


def test_pictures_of_the_documentation_are_shown(
    request: pytest.FixtureRequest,
) -> None:
    """Each picture beside the page on the backend is on it, and the other way round."""
    docs = request.config.rootpath / "docs"
    shown = set(
        re.findall(
            r"\((dev-server-[\w-]+\.png)\)", (docs / "dev-server.md").read_text()
        )
    )
    assert shown == {path.name for path in docs.glob("dev-server-*.png")}
    assert shown

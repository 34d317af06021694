"""The web page against hostile text, hostile pages and strangers."""

from __future__ import annotations

import hashlib
import json
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from browser import PATIENCE_MS, chromium, opened
from devserver import DevServer
from wireclient import WireClient, observation, signal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

    from backends import Backend

pytestmark = pytest.mark.timeout(180)
expect.set_options(timeout=PATIENCE_MS)

ASSETS = Path(__file__).parent.parent / "liteguard/devserver/assets"
PASSWORD = "open sesame"  # noqa: S105 - made up for these tests
HOSTILE = [
    "<script>window.pwned = 1</script>",
    "<img src=x onerror='window.pwned = 1'>",
    '"><svg onload="window.pwned = 1">',
    "javascript:window.pwned=1",
    "a/../../b?env=x&guard=y#z",
    "__proto__",
    "\u202egnp.exe 💥 ${window.pwned = 1}",
]
VIEWS = ["/", "/guard", "/monitor", "/processes", "/setup"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Run one browser for all tests of this module."""
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevServer]:
    """Run a backend that asks for a password."""
    arguments = ("--password", PASSWORD)
    server = DevServer(tmp_path_factory.mktemp("locked"), arguments=arguments)
    server.password = PASSWORD
    with server as running:
        yield running


def test_hostile_text_stays_text(browser: Browser, backend: Backend) -> None:
    """Whatever clients send is shown as it is and runs nothing."""
    client = WireClient(backend)
    for text in HOSTILE:
        client.observe(observation(text))
        client.send(hostile_signal(text), User_Agent="<img src=x onerror=pwned=1>")
    client.fetch(X_Liteguard_Pid="<b>1</b>")
    with opened(browser, f"{backend.url}/?env={backend.environment}") as page:
        for text in HOSTILE:
            row = page.get_by_role("row").filter(has_text=text)
            expect(row.get_by_text(text, exact=True)).to_be_visible()
        page.get_by_role("link", name="Monitor").click()
        signals = page.get_by_role("region", name="Signals")
        for text in HOSTILE:
            signals.locator("summary .name").get_by_text(text, exact=True).click()
        expect(page.locator("dl.facts")).to_contain_text(HOSTILE[::-1])
        page.get_by_role("link", name="Processes").click()
        expect(page.get_by_text("<b>1</b>", exact=True)).to_be_visible()
        assert page.evaluate("window.pwned === undefined && {}.pwned === undefined")


def hostile_signal(text: str) -> dict[str, Any]:
    """Return a signal that has *text* wherever clients may put text."""
    return signal(
        text,
        text,
        properties={text: text, "__proto__": {"pwned": 1}},
        callsiteId=text,
        executionId=text,
        measurement={"guardExecution": {"errorClass": text}},
        kind="guard_execution",
    )


@pytest.mark.parametrize(
    "text", ['a/b?env=x&guard="><svg onload=pwned=1>#z', "__proto__"]
)
def test_hostile_guard_can_be_managed(
    browser: Browser, backend: Backend, text: str
) -> None:
    """A guard of any name can be adopted, opened, changed and deleted on the page."""
    WireClient(backend).observe(observation(text))
    with opened(browser, f"{backend.url}/?env={backend.environment}") as page:
        page.get_by_role("button", name=f"Adopt {text}", exact=True).click()
        page.get_by_role("link", name=text, exact=True).click()
        page.get_by_role("switch", name="Default", exact=True).click()
        expect(page.get_by_text("default closed → open")).to_be_visible()
        assert [g["defaultValue"] for g in backend.guards()] == [True]
        page.get_by_role("button", name="Add rule").click()
        page.get_by_label("Property", exact=True).fill(text)
        page.get_by_label("value 1 of rule 1", exact=True).fill(text)
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_text("0 → 1 rule")).to_be_visible()
        page.get_by_role("button", name="Delete").click()
        page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        expect(
            page.get_by_role("button", name=f"Adopt {text}", exact=True)
        ).to_be_visible()
        assert page.evaluate("window.pwned === undefined")
    assert backend.guards() == []


def test_policy_stops_injected_scripts(browser: Browser, backend: Backend) -> None:
    """Even markup that got into the page could run nothing."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(backend.url)
    expect(page.get_by_role("heading", name="Guards", exact=True)).to_be_visible()
    refused = page.evaluate(
        """async () => {
          // What the driver runs may do anything; what comes later may not.
          await new Promise((done) => setTimeout(done));
          const refused = [];
          const attempt = (name, action) => {
            try { action(); } catch { refused.push(name); }
          };
          attempt("markup", () => { document.body.innerHTML = "<img src=x>"; });
          attempt("eval", () => (0, eval)("window.pwned = 1"));
          attempt("function", () => new Function("window.pwned = 1")());
          attempt("source", () => {
            document.createElement("script").text = "window.pwned = 1";
          });
          return refused;
        }"""
    )
    assert refused == ["markup", "eval", "function", "source"]
    assert page.evaluate("window.pwned") is None
    context.close()


@pytest.mark.parametrize(
    "path", [*VIEWS, "/assets/app.js", "/nowhere", "/openapi.json"]
)
def test_every_answer_carries_a_strict_policy(devserver: DevServer, path: str) -> None:
    """Nothing inline, nothing evaluated, nothing from elsewhere, no frame around it."""
    headers = devserver.request("GET", path).headers
    policy = dict(
        part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; ")
    )
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == "'none'"
    assert policy["connect-src"] == policy["style-src"] == "'self'"
    own, import_map = policy["script-src"].split()
    assert own == "'self'"
    assert import_map.startswith("'sha256-")
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_libraries_are_those_that_were_published() -> None:
    """Each file is unchanged since its digest was noted, and its licence is there."""
    listed = re.findall(
        r"^\| (\S+) \| .* \| \[(\S+)\]\(\S+\) \| `(\w{64})` \|$",
        (ASSETS / "vendor/README.md").read_text(),
        re.MULTILINE,
    )
    for name, licence, digest in listed:
        assert (
            hashlib.sha256((ASSETS / "vendor" / name).read_bytes()).hexdigest()
            == digest
        )
        assert "Permission" in (text := (ASSETS / "vendor" / licence).read_text()) or (
            "Apache License" in text
        )
    noted = {name for name, *_ in listed} | {licence for _, licence, _ in listed}
    assert noted | {"README.md"} == {
        path.name for path in (ASSETS / "vendor").iterdir()
    }


class Attacker(BaseHTTPRequestHandler):
    """A page of somebody else's that has the visitor's browser act on the backend."""

    target = ""

    def do_GET(self) -> None:
        """Serve the page."""
        script = """<title>waiting</title><script>
        const target = TARGET;
        const json = JSON.stringify({name: "made.by.attacker", adopted: true});
        const attempts = [
          fetch(target + "/guards", {method: "POST", mode: "no-cors", body: json,
            credentials: "include", headers: {"Content-Type": "text/plain"}}),
          fetch(target + "/guards/victim/adopt", {method: "POST", mode: "no-cors",
            credentials: "include"}),
          fetch(target + "/guards/victim", {method: "DELETE", credentials: "include"}),
          fetch(target + "/guards", {credentials: "include"}).then((a) => a.text()),
        ];
        Promise.allSettled(attempts).then((all) => {
          document.title = all[3].status + " " + all[2].status;
        });
        </script>""".replace("TARGET", json.dumps(self.target))
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(script.encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_page_of_another_site_can_do_nothing(
    browser: Browser, backend: Backend, host: str
) -> None:
    """Neither reads nor writes get through, even from another port of this machine."""
    backend.create_guard("victim", adopted=False)
    target = f"{backend.url}/manage/v1/environments/{backend.environment}"
    handler = type("Handler", (Attacker,), {"target": target})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever).start()
        context = browser.new_context()
        page = context.new_page()
        page.goto(f"http://{host}:{server.server_port}/")
        expect(page).to_have_title("rejected rejected")
        context.close()
        server.shutdown()
    assert [(g["name"], g["adopted"]) for g in backend.guards()] == [("victim", False)]


def test_password_opens_the_page(browser: Browser, locked: DevServer) -> None:
    """Without it nothing is shown; a wrong one is told; signing out closes again."""
    with opened(browser, locked.url) as page:
        page.get_by_label("Management password").fill("wrong")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_text("the password is wrong")).to_be_visible()
        page.get_by_label("Management password").fill(PASSWORD)
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Guards", exact=True)).to_be_visible()
        (cookie,) = page.context.cookies()
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
        page.reload()
        page.get_by_role("navigation").get_by_role("link", name="Setup").click()
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_label("Management password")).to_be_visible()

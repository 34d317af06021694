"""The web page of the local backend, used as a newcomer uses it, in a real browser."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from browser import PATIENCE_MS, application, chromium, opened
from devserver import DevServer
from waiting import until
from wireclient import WireClient, observation, signal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page, Route

    from backends import Backend

pytestmark = pytest.mark.timeout(180)
expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Run one browser for all tests of this module."""
    with chromium() as running:
        yield running


@pytest.fixture
def page(browser: Browser, backend: Backend) -> Iterator[Page]:
    """Open the Guards tab of this test's environment."""
    with opened(browser, f"{backend.url}/?env={backend.environment}") as tab:
        yield tab


def guard_page(backend: Backend, name: str) -> str:
    """Return the address of a guard's page."""
    return f"{backend.url}/guard?env={backend.environment}&guard={name}"


def stored(backend: Backend, name: str) -> dict[str, object]:
    """Return a guard as the backend has it."""
    return next(guard for guard in backend.guards() if guard["name"] == name)


def test_newcomer_sees_a_check_adopts_the_guard_and_changes_its_answer(
    browser: Browser, tmp_path: Path, state_dir: Path
) -> None:
    """The guide's last step comes true, and what is set here the application obeys."""
    with DevServer(tmp_path) as server, opened(browser, server.url) as page:
        expect(page.get_by_text("No guards yet")).to_be_visible()
        page.evaluate("window.isTheSamePage = true")
        with application(server, state_dir) as app:
            assert app.check("payments.checkout") == "closed"
            page.get_by_role("button", name="Adopt payments.checkout").click()
            adopted = page.get_by_role("region", name="Adopted")
            expect(
                adopted.get_by_role("link", name="payments.checkout")
            ).to_be_visible()
            assert app.check("payments.checkout", plan="free") == "closed"

            page.get_by_role("switch", name="Default of payments.checkout").click()
            until(lambda: app.check("payments.checkout", plan="free") == "open")

            page.get_by_role("link", name="payments.checkout").click()
            page.get_by_role("button", name="Add rule").click()
            page.get_by_label("Property", exact=True).fill("plan")
            page.get_by_label("value 1 of rule 1", exact=True).fill("free")
            answer = page.get_by_role("group", name="Answer of rule 1")
            answer.get_by_role("button", name="closed").click()
            page.get_by_role("button", name="Save").click()
            until(lambda: app.check("payments.checkout", plan="free") == "closed")
            assert app.check("payments.checkout", plan="pro") == "open"

            page.get_by_role("link", name="Monitor").click()
            signals = page.get_by_role("region", name="Signals")
            expect(signals.get_by_text('plan="pro"').first).to_be_visible()
            chart = page.get_by_role("img", name="Checks per minute")
            expect(chart).to_have_attribute(
                "aria-label", re.compile(r"[1-9]\d* of them")
            )
            page.get_by_role("link", name="Processes").click()
            expect(page.get_by_text("polls", exact=True)).to_be_visible()
        assert page.evaluate("window.isTheSamePage") is True


def test_unadopted_guard_shows_what_was_observed(page: Page, backend: Backend) -> None:
    """How often and how fast the guard is asked for stands beside its name."""
    client = WireClient(backend)
    seen = observation("new.guard", checkCount=134, estimatedChecksPerMinute=88.2)
    client.observe(seen)
    row = page.get_by_role("row", name="new.guard")
    expect(
        row.get_by_role("cell", name="134 checks, about 88.2 a minute", exact=True)
    ).to_be_visible()
    client.observe(seen)
    expect(row.get_by_role("cell").nth(1)).to_contain_text("268 checks")


def test_search_narrows_both_lists(page: Page, backend: Backend) -> None:
    """The slash key leads to the search box; it looks into adopted and unadopted."""
    for name in ("mail.digest", "mail.weekly", "search.beta"):
        backend.create_guard(name)
    WireClient(backend).observe(observation("mail.new"), observation("other.new"))
    expect(page.get_by_text("other.new")).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("MAIL")
    expect(page.get_by_role("link", name=re.compile("search"))).to_have_count(0)
    expect(page.get_by_text("other.new")).to_have_count(0)
    expect(page.get_by_text("mail.new")).to_be_visible()
    expect(page.get_by_role("link", name=re.compile("^mail"))).to_have_count(2)


def test_guards_show_how_they_are_used(page: Page, backend: Backend) -> None:
    """State, default, rules, checks per minute and open share of each are there."""
    rule = {"propertyName": "plan", "operator": "EQUALS", "values": ["pro"]}
    backend.create_guard("a.guard", rules=(rule, rule))
    now = backend.request(
        "GET", f"/manage/v1/environments/{backend.environment}/overview"
    )
    now_ms = now.json()["nowMs"]
    WireClient(backend).send(
        *[signal(f"s{n}", timestampMs=now_ms - 60_000, result=n < 3) for n in range(12)]
    )
    row = page.get_by_role("row", name="a.guard")
    expect(row.get_by_text("by rules")).to_be_visible()
    expect(row.get_by_text("25 %")).to_be_visible()
    expect(row.get_by_text("1 min ago")).to_be_visible()
    expect(row.get_by_role("cell").nth(3)).to_have_text("2")
    expect(row.get_by_role("cell").nth(4)).to_have_text(re.compile(r"^2(\.\d)?$"))


def test_environment_can_be_switched(page: Page, backend: Backend) -> None:
    """Each environment shows its own guards, and the address says which it is."""
    other = f"{backend.environment}-other"
    backend.create_guard("one.guard")
    backend.create_environment(other)
    backend.create_guard("other.guard", environment=other)
    expect(page.get_by_text("one.guard")).to_be_visible()
    page.get_by_label("Environment").select_option(other)
    expect(page.get_by_text("other.guard")).to_be_visible()
    expect(page.get_by_text("one.guard")).to_have_count(0)
    assert f"env={other}" in page.url
    page.go_back()
    expect(page.get_by_text("one.guard")).to_be_visible()


def test_guard_can_be_made_and_a_taken_name_is_told(
    page: Page, backend: Backend
) -> None:
    """The dialog names the field that is at fault and keeps what was typed."""
    backend.create_guard("taken")
    page.get_by_role("button", name="New guard").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("taken")
    page.keyboard.press("Enter")
    expect(dialog.get_by_text("this guard exists already")).to_be_visible()
    expect(dialog.get_by_label("Name")).to_have_value("taken")
    dialog.get_by_label("Name").fill("fresh")
    dialog.get_by_role("button", name="open").click()
    page.keyboard.press("Tab")
    dialog.get_by_role("button", name="Make it").click()
    expect(page.get_by_role("heading", name="fresh")).to_be_visible()
    assert stored(backend, "fresh")["defaultValue"] is True


def test_rules_are_typed_reordered_and_disabled(
    browser: Browser, backend: Backend
) -> None:
    """Values keep their types, and the order on the page is the order that counts."""
    backend.create_guard("a.guard")
    with opened(browser, guard_page(backend, "a.guard")) as page:
        for number, (name, operator) in enumerate([("age", "GTE"), ("beta", "IN")], 1):
            page.get_by_role("button", name="Add rule").click()
            rule = page.get_by_role("group", name=f"Rule {number}", exact=True)
            rule.get_by_label("Property", exact=True).fill(name)
            rule.get_by_label("Operator").select_option(operator)
        first = page.get_by_role("group", name="Rule 1", exact=True)
        first.get_by_label("Type of value 1").select_option("number")
        first.get_by_label("value 1 of rule 1", exact=True).fill("18")
        second = page.get_by_role("group", name="Rule 2", exact=True)
        second.get_by_label("Type of value 1").select_option("boolean")
        second.get_by_label("value 1 of rule 2", exact=True).select_option("true")
        second.get_by_role("button", name="Add value").click()
        second.get_by_label("Type of value 2").select_option("null")
        page.get_by_role("button", name="Move rule 2 up").click()
        page.get_by_role("switch", name="Rule 2 enabled").click()
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_role("button", name="Save")).to_have_count(0)
    assert stored(backend, "a.guard")["rules"] == [
        {
            "propertyName": "beta",
            "operator": "IN",
            "values": [True, None],
            "result": True,
            "enabled": True,
        },
        {
            "propertyName": "age",
            "operator": "GTE",
            "values": [18],
            "result": True,
            "enabled": False,
        },
    ]


def test_wrong_fields_are_named_before_they_are_saved(
    browser: Browser, backend: Backend
) -> None:
    """Each field at fault says what is wrong with it, and nothing can be saved."""
    backend.create_guard("a.guard")
    with opened(browser, guard_page(backend, "a.guard")) as page:
        page.get_by_role("button", name="Add rule").click()
        expect(page.get_by_text("name the property to look at")).to_be_visible()
        expect(page.get_by_label("Property", exact=True)).to_have_attribute(
            "aria-invalid", "true"
        )
        expect(page.get_by_role("button", name="Save")).to_be_disabled()
        page.get_by_label("Property", exact=True).fill("age")
        page.get_by_label("Type of value 1 of rule 1").select_option("number")
        page.get_by_label("value 1 of rule 1", exact=True).fill("many")
        expect(page.get_by_text("this is not a number")).to_be_visible()
        page.get_by_label("Operator").select_option("REGEX")
        page.get_by_label("value 1 of rule 1", exact=True).fill("(")
        expect(page.get_by_text("never matches:")).to_be_visible()
        expect(page.get_by_role("button", name="Save")).to_be_disabled()
        page.get_by_role("switch", name="Rate limit").click()
        page.get_by_label("Open checks per minute").fill("0")
        expect(page.get_by_text("give a whole number above 0")).to_be_visible()
        page.get_by_role("button", name="Discard").click()
        expect(page.get_by_role("button", name="Save")).to_have_count(0)
    assert stored(backend, "a.guard")["rules"] == []


def test_limits_are_set_and_removed(browser: Browser, backend: Backend) -> None:
    """A rate limit and a dry run are saved together, and go when switched off."""
    backend.create_guard("a.guard")
    with opened(browser, guard_page(backend, "a.guard")) as page:
        page.get_by_role("switch", name="Rate limit").click()
        page.get_by_label("Counted apart by (properties)").fill("user_id, plan")
        page.get_by_role("switch", name="Dry run").click()
        page.get_by_label("Name of the trial").fill("tighter")
        page.get_by_label("Open checks per minute").nth(1).fill("7")
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_text("dry run 7 a minute")).to_be_visible()
        guard = stored(backend, "a.guard")
        assert guard["rateLimit"] == {
            "requestsPerMinute": 60,
            "partitionProperties": ["user_id", "plan"],
        }
        assert guard["dryRunRateLimit"] == {
            "requestsPerMinute": 7,
            "partitionProperties": [],
            "dryRunId": "tighter",
        }
        page.get_by_role("switch", name="Rate limit").click()
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_text("rate limit removed")).to_be_visible()
    assert "rateLimit" not in stored(backend, "a.guard")


def test_trial_shows_the_rule_that_decides(browser: Browser, backend: Backend) -> None:
    """The verdict names the rule, follows each key, and marks what else matches."""
    rules = tuple(
        {"propertyName": name, "operator": "EQUALS", "values": [value], "result": True}
        for name, value in (("plan", "pro"), ("age", 18), ("plan", "pro"))
    )
    backend.create_guard("a.guard", rules=rules)
    with opened(browser, guard_page(backend, "a.guard")) as page:
        trial = page.get_by_role("region", name="Try it")
        expect(
            trial.get_by_text("no rule matches: the default decides")
        ).to_be_visible()
        trial.get_by_label("value of property 1", exact=True).fill("pro")
        expect(trial.get_by_text("rule 1 decides")).to_be_visible()
        third = page.get_by_role("group", name="Rule 3", exact=True)
        expect(third.get_by_text("matches too")).to_be_visible()
        trial.get_by_label("value of property 1", exact=True).fill("")
        trial.get_by_label("value of property 2", exact=True).fill("18")
        expect(
            trial.get_by_text("no rule matches: the default decides")
        ).to_be_visible()
        trial.get_by_label("Type of value of property 2").select_option("number")
        expect(trial.get_by_text("rule 2 decides")).to_be_visible()


def test_trial_takes_the_properties_of_the_last_check(
    browser: Browser, backend: Backend
) -> None:
    """What an application really sends is one click away."""
    backend.create_guard("a.guard")
    WireClient(backend).send(signal("s1", properties={"plan": "team", "age": 40}))
    with opened(browser, guard_page(backend, "a.guard")) as page:
        page.get_by_role("button", name="Use the last check's").click()
        trial = page.get_by_role("region", name="Try it")
        expect(trial.get_by_label("value of property 1", exact=True)).to_have_value(
            "team"
        )
        expect(trial.get_by_label("value of property 2", exact=True)).to_have_value(
            "40"
        )
        expect(trial.get_by_label("Type of value of property 2")).to_have_value(
            "number"
        )


def test_change_is_undone_and_a_deleted_guard_comes_back(
    browser: Browser, backend: Backend
) -> None:
    """The history tells what was done and takes it back, deletion included."""
    backend.create_guard("a.guard")
    with opened(browser, guard_page(backend, "a.guard")) as page:
        page.get_by_role("switch", name="Default", exact=True).click()
        page.get_by_role("button", name="Undo: default closed → open").click()
        expect(page.get_by_text("default open → closed")).to_be_visible()
        assert stored(backend, "a.guard")["defaultValue"] is False
        page.get_by_role("button", name="Delete").click()
        page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        expect(page.get_by_text("No guards yet")).to_be_visible()
        page.go_back()
        page.get_by_role("button", name="Undo: deleted").click()
        expect(page.get_by_role("region", name="Rules")).to_be_visible()
    assert stored(backend, "a.guard")["adopted"] is True


def test_change_from_elsewhere_shows_up_and_spares_what_is_typed(
    browser: Browser, backend: Backend
) -> None:
    """An untouched editor follows; one with unsaved changes keeps them and tells."""
    backend.create_guard("a.guard")
    rule = {"propertyName": "plan", "operator": "EQUALS", "values": ["pro"]}
    with opened(browser, guard_page(backend, "a.guard")) as page:
        expect(page.get_by_text("every check gets the default")).to_be_visible()
        backend.update_guard("a.guard", rules=[rule])
        expect(page.get_by_label("Property", exact=True)).to_have_value("plan")
        page.get_by_label("Property", exact=True).fill("country")
        backend.update_guard("a.guard", rules=[{**rule, "values": ["team"]}])
        expect(page.get_by_text("changed elsewhere meanwhile")).to_be_visible()
        expect(page.get_by_label("Property", exact=True)).to_have_value("country")


def test_signals_arrive_while_they_are_watched(
    browser: Browser, backend: Backend
) -> None:
    """Executions, errors and limits are told as they come; a pause holds them."""
    client = WireClient(backend)
    with opened(browser, f"{backend.url}/monitor?env={backend.environment}") as page:
        feed = page.get_by_role("region", name="Signals")
        expect(feed.get_by_text("Nothing yet.")).to_be_visible()
        client.send(signal("s1", "first.guard", droppedSignalsSinceLast=3))
        expect(feed.get_by_text("first.guard")).to_be_visible()
        feed.get_by_role("button", name="Pause").click()
        measured = {
            "guardExecution": {"durationNs": 4_200_000, "errorClass": "KeyError"}
        }
        client.send(
            signal("s2", "second.guard", kind="guard_execution", measurement=measured)
        )
        tile = page.locator("dl.tiles")
        now_ms = page.evaluate("Date.now()")
        client.send(
            signal(
                "s3",
                "third.guard",
                timestampMs=now_ms,
                result=False,
                rateLimitDecisions=[
                    {
                        "evaluationTarget": "active",
                        "outcome": "limited",
                        "requestsPerMinute": 5,
                        "countInWindow": 6,
                    }
                ],
            ),
        )
        expect(tile.get_by_text("Rate limited").locator("..")).to_contain_text("1")
        expect(feed.get_by_text("second.guard")).to_have_count(0)
        feed.get_by_role("button", name="Go on").click()
        expect(feed.get_by_text("third.guard")).to_be_visible()
        feed.get_by_role("button", name="Executions").click()
        expect(feed.get_by_text("4.2 ms")).to_be_visible()
        expect(feed.get_by_text("first.guard")).to_have_count(0)
        feed.get_by_text("second.guard").click()
        expect(feed.get_by_text("KeyError", exact=True)).to_be_visible()
        feed.get_by_role("button", name="Rate limits").click()
        feed.get_by_text("third.guard").click()
        expect(feed.get_by_text("in force: limited (6 of 5 a minute)")).to_be_visible()


def test_processes_are_told_apart(browser: Browser, backend: Backend) -> None:
    """Pid, version and what each does are shown, and who asks for guards."""
    client = WireClient(backend)
    with opened(browser, f"{backend.url}/processes?env={backend.environment}") as page:
        expect(page.get_by_text("No process has spoken yet")).to_be_visible()
        agent = {"User_Agent": "liteguard-python/9.9"}
        client.fetch(X_Liteguard_Pid="41", X_Liteguard_Process="a", **agent)
        client.send(
            signal("s1"), X_Liteguard_Pid="42", X_Liteguard_Process="b", **agent
        )
        poller = page.get_by_role("row", name="41")
        follower = page.get_by_role("row", name="42")
        expect(poller.get_by_text("polls", exact=True)).to_be_visible()
        expect(follower.get_by_text("follows")).to_be_visible()
        expect(follower.get_by_text("liteguard-python/9.9")).to_be_visible()
        expect(page.get_by_text("2 processes; 1 asking for guards now")).to_be_visible()


def test_token_is_shown_once_and_can_be_disabled(
    browser: Browser, backend: Backend
) -> None:
    """A new token works, stands in the sample, and is gone after a reload."""
    with opened(browser, f"{backend.url}/setup?env={backend.environment}") as page:
        page.get_by_role("button", name="New token").click()
        block = page.get_by_label("New token").first
        expect(block).to_contain_text("pct-")
        token = block.inner_text()
        sample = page.get_by_label("How to connect")
        expect(sample).to_contain_text(token)
        expect(sample).to_contain_text(backend.url)
        assert WireClient(backend, token).fetch().status_code == 200
        # The environment came with one token, this is the second.
        newest = max(
            one["id"]
            for one in backend.manage("GET", "tokens")["tokens"]
            if one["environment"] == backend.environment
        )
        switch = page.get_by_role("switch", name=f"Token {newest} accepted")
        switch.click()
        expect(switch).to_have_attribute("aria-checked", "false")
        assert WireClient(backend, token).fetch().status_code == 401
        switch.click()
        expect(switch).to_have_attribute("aria-checked", "true")
        assert WireClient(backend, token).fetch().status_code == 200
        page.get_by_role("button", name="New token").click()
        expect(page.get_by_text("two valid tokens already")).to_be_visible()
        page.reload()
        expect(page.get_by_role("heading", name="Tokens")).to_be_visible()
        assert token not in page.content()


def test_guards_are_exported_and_imported(
    browser: Browser, backend: Backend, tmp_path: Path
) -> None:
    """The file that is downloaded can be put in again, and says what it did."""
    backend.create_guard("a.guard", default_value=True)
    with opened(browser, f"{backend.url}/setup?env={backend.environment}") as page:
        with page.expect_download() as download:
            page.get_by_role("button", name="Export").click()
        path = tmp_path / "guards.json"
        download.value.save_as(path)
        document = json.loads(path.read_text())
        mine = [e for e in document["environments"] if e["name"] == backend.environment]
        path.write_text(json.dumps({"environments": mine}))
        backend.update_guard("a.guard", defaultValue=False)
        backend.create_guard("b.guard")
        page.get_by_label("replace guards that are here already").check()
        page.locator("input[type=file]").set_input_files(path)
        expect(page.get_by_text("0 guards added, 1 replaced, 0 left")).to_be_visible()
        assert stored(backend, "a.guard")["defaultValue"] is True
        path.write_text("no JSON")
        page.locator("input[type=file]").set_input_files(path)
        expect(page.get_by_text("this file is not JSON")).to_be_visible()


def test_page_in_the_background_lets_go_and_catches_up(
    page: Page, backend: Backend
) -> None:
    """Many open pages would else use up the browser's connections to the backend."""
    expect(page.get_by_role("status")).to_have_text("Live")
    turn = """hidden => {
      Object.defineProperty(document, "hidden", {value: hidden, configurable: true});
      document.dispatchEvent(new Event("visibilitychange"));
    }"""
    with page.expect_event("requestfailed", lambda sent: "/events" in sent.url):
        page.evaluate(turn, arg=True)
    backend.create_guard("a.guard")
    with page.expect_request("**/events"):
        page.evaluate(turn, arg=False)
    expect(page.get_by_role("link", name="a.guard")).to_be_visible()


def test_lost_server_is_told_and_found_again(browser: Browser, tmp_path: Path) -> None:
    """While the server is away the page says so; afterwards it goes on by itself."""
    with DevServer(tmp_path) as server:
        context = browser.new_context()
        page = context.new_page()
        page.goto(server.url)
        expect(page.get_by_role("status")).to_have_text("Live")
        server.kill()
        expect(page.get_by_role("status")).to_have_text(re.compile("Connection lost"))
        server.start()
        server.create_guard("a.guard")
        expect(page.get_by_role("link", name="a.guard")).to_be_visible()
        context.close()


def test_page_asks_again_for_what_it_could_not_read(
    browser: Browser, backend: Backend
) -> None:
    """A broken connection, an overloaded server, one that hangs: none lasts."""
    backend.create_guard("a.guard")
    troubles = [
        lambda route: route.abort(),
        lambda route: route.fulfill(status=503, json={}),
        lambda _: None,
    ]

    def meddle(route: Route) -> None:
        (troubles.pop(0) if troubles else type(route).continue_)(route)

    context = browser.new_context()
    page = context.new_page()
    page.route("**/events", lambda route: route.fulfill(status=204))
    page.route("**/overview", meddle)
    page.goto(f"{backend.url}/?env={backend.environment}")
    guard = page.get_by_role("link", name="a.guard")
    expect(guard).to_be_visible(timeout=2 * PATIENCE_MS)
    assert not troubles
    context.close()


def test_change_before_the_news_begin_is_shown(
    browser: Browser, backend: Backend
) -> None:
    """What changes between the first reading and the first news is not missed."""
    context = browser.new_context()
    page = context.new_page()
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/events", hold)
    page.goto(f"{backend.url}/?env={backend.environment}")
    expect(page.get_by_text("No guards yet")).to_be_visible()
    backend.create_guard("a.guard")
    held.pop().continue_()
    expect(page.get_by_role("link", name="a.guard")).to_be_visible()
    context.close()

"""The main ways through the pages, in a real browser, by what a person reads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.domain.clock import ManualClock
from providers.simulator import Simulator
from tests.conftest import Ftctl
from tests.factories import chat_file
from tests.ui.browser import CHROMIUM, Browser, browsing
from tests.ui.visiting import Served, served

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
YES = "Submit for about $0.009"
MODEL = "gpt-4.1-mini-2025-04-14"
WIDER_THAN_THE_WINDOW = (
    "document.documentElement.scrollWidth > document.documentElement.clientWidth"
)


@pytest.fixture
def host(ftctl: Ftctl) -> Iterator[Simulator]:
    with Simulator("openai", moves=False, clock=ftctl.clock) as simulator:
        (ftctl.home / "ftctl.toml").write_text(
            f'[providers.host]\nkind = "openai"\nbase_url = "{simulator.url}"\napi_key_env = "KEY"\n'
        )
        ftctl.environment["KEY"] = "sk-test"
        chat_file(ftctl.home / "train.jsonl", 20)
        yield simulator


@pytest.fixture
def here(ftctl: Ftctl, host: Simulator) -> Iterator[Served]:
    with served(ftctl) as found:
        yield found


@pytest.fixture
def browser(here: Served, tmp_path: Path) -> Iterator[Browser]:
    with browsing(tmp_path / "profile") as found:
        found.look(width=1100)
        found.open(here.link)
        found.wait_for_text("No jobs yet.")
        yield found


def submit(browser: Browser) -> None:
    fill_in(browser)
    browser.click(YES)
    browser.wait_for_text("the provider took the job")


def fill_in(browser: Browser) -> None:
    browser.click("Submit")
    browser.fill("Training data", "train.jsonl")
    browser.fill("Provider", "host")
    browser.fill("Base model", MODEL)
    browser.click("Check and price it")
    assert "Is this what you want?" in browser.text()


def test_from_an_empty_list_to_a_model(host: Simulator, browser: Browser):
    submit(browser)
    host.advance(9)
    browser.click("Look now")
    browser.wait_for_text("The job has successfully completed")
    assert browser.run("document.querySelectorAll('svg polyline').length") == 1
    browser.click("decision report")
    assert "Decision report" in browser.text()
    browser.run("history.back()")
    browser.wait_for_text("History")
    browser.click("Jobs")
    assert "succeeded" in browser.text()
    assert browser.complaints == []


def test_a_page_that_is_watched_follows_the_job(ftctl: Ftctl, host: Simulator, browser: Browser):
    submit(browser)
    host.advance(2)
    assert isinstance(ftctl.clock, ManualClock)
    ftctl.clock.sleep(20)
    # Nobody clicks: the script asks, and loads the page again when the status has changed.
    browser.wait_for_text("running")
    assert browser.complaints == []


def test_without_script_every_way_works(host: Simulator, browser: Browser):
    browser.script(runs=False)
    submit(browser)
    # The page reloads itself as a whole.
    assert browser.run("document.querySelectorAll('meta[http-equiv=refresh]').length") == 1
    browser.click("Cancel…")
    browser.click("Cancel the job")
    browser.wait_for_text("cancelled")


def test_a_second_click_and_a_reload_make_no_second_job(host: Simulator, browser: Browser):
    fill_in(browser)
    browser.run("document.querySelector('input[name=again]').checked = true")
    browser.run("for (const _ of 'abc') document.forms[0].submit()")
    browser.wait_for_text("the provider took the job")
    browser.run("location.reload()")
    browser.wait_for_text("the provider took the job")
    assert host.count("create_job") == 1


@pytest.mark.parametrize("dark", [False, True])
def test_no_page_is_wider_than_a_telephone(
    host: Simulator, here: Served, browser: Browser, dark: bool
):
    (Path(here.site.desk.files.folder) / "bad.jsonl").write_text('{"messages": []}\n' * 12)
    submit(browser)
    job = browser.run("location.pathname")
    browser.look(width=360, dark=dark)
    for page in ("/", job, f"{job}/cancel", "/submit", "/data", "/data?file=bad.jsonl", "/models",
                 "/costs", "/adapters", "/comparisons", "/reports", "/leaving"):  # fmt: skip
        browser.open(here.url + page)
        assert not browser.run(WIDER_THAN_THE_WINDOW), page


def test_the_keyboard_reaches_what_the_mouse_does(browser: Browser):
    browser.click("Submit")
    seen = []
    for _ in range(20):
        browser.press("Tab")
        seen.append(browser.run("document.activeElement.innerText || document.activeElement.name"))
        assert browser.run("getComputedStyle(document.activeElement).outlineStyle") != "none"
    assert seen[0] == "Skip to the page"
    assert "Jobs" in seen
    assert "training" in seen
    assert "model" in seen

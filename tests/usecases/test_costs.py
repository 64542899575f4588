"""Money through the command line: limits before, reservations meanwhile, the ledger after."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from orchestrator.domain.clock import ManualClock
from orchestrator.domain.money.spending import Budgets, SpendingState
from orchestrator.domain.money.usd import MICROS
from orchestrator.resources import schema
from orchestrator.usecases.comparing.allowance import Vault, allowance, release_dead
from providers.simulator import Simulator
from tests.conftest import Ftctl, Outcome
from tests.factories import chat_file
from tests.usecases.comparing import row, write

BASE = "gpt-4.1-mini-2025-04-14"
CONFIG = """[providers.host]
kind = "openai"
base_url = "{url}"
api_key_env = "KEY"
timeout = 5
{profile}
{rest}
"""


@pytest.fixture
def host() -> Iterator[Simulator]:
    with Simulator("openai") as simulator:
        yield simulator


@pytest.fixture
def ours(ftctl: Ftctl, host: Simulator) -> Ftctl:
    ftctl.environment["KEY"] = "sk-test"
    configure(ftctl, host)
    chat_file(ftctl.home / "train.jsonl", 40)
    return ftctl


def configure(ftctl: Ftctl, host: Simulator, profile: str = "", rest: str = "") -> None:
    text = CONFIG.format(url=host.url, profile=profile, rest=rest)
    (ftctl.home / "ftctl.toml").write_text(text)


def submit(ftctl: Ftctl, *more: str, model: str = BASE) -> Outcome:
    return ftctl("submit", "train.jsonl", "--provider", "host", "--model", model, "--json", *more)


def finished(ftctl: Ftctl) -> dict[str, Any]:
    assert isinstance(ftctl.clock, ManualClock)
    for _ in range(20):
        ftctl.clock.sleep(301)
        ftctl("sync", "--all")
        (job,) = ftctl("status", "--json").json
        if job["finished_at"]:
            return dict(job)
    raise AssertionError("the job did not end")


def test_nothing_is_sent_that_may_cost_more(ours: Ftctl, host: Simulator):
    whole = submit(ours, "--dry-run").json["estimate"]
    assert 0 < whole["low_usd"] <= whole["usd"] < whole["high_usd"]
    done = submit(ours, "--max-cost", str(whole["usd"]))
    assert (done.code, len(host.exchanges)) == (1, 0)
    assert "nothing was sent" in done.err
    assert "--epochs" in done.err
    assert submit(ours, "--epochs", "3", "--max-cost", str(whole["usd"])).code == 0


def test_what_nobody_knows_is_refused_unless_it_is_allowed(ours: Ftctl, host: Simulator):
    done = submit(ours, "--max-cost", "1", model="gpt-9")
    assert (done.code, len(host.exchanges)) == (1, 0)
    assert "unpriced: no training price of gpt-9" in done.err
    assert "--allow-unpriced" in done.err
    configure(ours, host, "budget_usd_per_month = 1")
    assert submit(ours, model="gpt-9").code == 1
    assert not host.exchanges
    assert submit(ours, "--allow-unpriced", "--max-cost", "1", model="gpt-9").json["id"]
    (line,) = ours("costs", "--json").json["lines"]
    assert (line["reserved_usd"], line["unpriced"]) == (1.0, False)


def test_what_no_host_told_is_entered_from_the_invoice(ours: Ftctl, host: Simulator):
    configure(ours, host, "budget_usd_per_month = 10")
    job = submit(ours, "--allow-unpriced", "--max-cost", "4", model="gpt-9").json["id"]
    early = ours("costs", "settle", job, "--amount", "3.10")
    assert (early.code, "is not over" in early.err) == (2, True)
    finished(ours)
    (line,) = ours("costs", "--json").json["lines"]
    assert (line["state"], line["reserved_usd"]) == ("unclear", 4.0)

    done = ours("costs", "settle", job[:6], "--amount", "3.10", "--note", "invoice 4711", "--json")
    jsonschema.validate(done.json, schema("costs-settle.schema.json"))
    assert done.json["actual_usd"] == 3.1
    found = ours("costs", "--json").json
    (line,) = found["lines"]
    assert (line["state"], line["actual_usd"], line["reserved_usd"]) == ("actual", 3.1, 0)
    assert "invoice 4711" in line["note"]
    assert found["totals"][0]["left_usd"] == pytest.approx(6.9)
    assert ours("status", job, "--json").json["cost"]["actual_usd"] == 3.1

    # A slip of the pen is mended the same way.
    assert ours("costs", "settle", job, "--amount", "$31").code == 0
    assert ours("status", job, "--json").json["cost"]["actual_usd"] == 31.0


@pytest.mark.parametrize("amount", ["-1", "much", "NaN", "Infinity", "1e300", ""])
def test_what_is_no_amount_is_refused(ours: Ftctl, amount: str):
    job = submit(ours, "--allow-unpriced", model="gpt-9").json["id"]
    finished(ours)
    done = ours("costs", "settle", job, "--amount", amount)
    assert (done.code, "no amount in dollars" in done.err) == (2, True)


def test_an_amount_that_the_host_told_stays(ours: Ftctl):
    job = submit(ours).json["id"]
    finished(ours)
    done = ours("costs", "settle", job, "--amount", "5")
    assert done.code == 2
    assert "already" in done.err
    assert "trained tokens" in done.err


def test_a_job_reserves_its_upper_end_and_settles_at_what_was_trained(ours: Ftctl, host: Simulator):
    configure(ours, host, "budget_usd_per_month = 0.1", "[budget]\nusd_per_month = 5")
    estimate = submit(ours).json["estimate"]
    before = ours("costs", "--json").json
    jsonschema.validate(before, schema("costs.schema.json"))
    mine, overall = before["totals"]
    assert mine["reserved_usd"] == overall["reserved_usd"] == estimate["high_usd"]
    assert mine["left_usd"] == pytest.approx(0.1 - estimate["high_usd"])
    job = finished(ours)
    usd = job["trained_tokens"] * 5 / 1e6
    cost = job["cost"]
    assert (cost["state"], cost["actual_usd"], cost["reserved_usd"]) == ("actual", usd, 0)
    off = 100 * (usd - estimate["usd"]) / estimate["usd"]
    assert cost["estimate_error_percent"] == pytest.approx(off)
    assert f"{off:.1f} % over the estimate" in ours("status", job["id"]).out
    mine, overall = ours("costs", "--json").json["totals"]
    assert (mine["actual_usd"], mine["reserved_usd"]) == (usd, 0)
    assert overall["left_usd"] == pytest.approx(5 - usd)


def test_a_budget_that_is_spent_stops_the_next_job_until_the_next_month(
    ours: Ftctl, host: Simulator
):
    high = submit(ours, "--dry-run", "--epochs", "3").json["estimate"]["high_usd"]
    configure(ours, host, f"budget_usd_per_month = {high}")
    assert submit(ours, "--epochs", "3").code == 0
    sent = len(host.exchanges)
    assert submit(ours, "--epochs", "3", "--dry-run").code == 1
    again = submit(ours, "--epochs", "3", "--again")
    assert (again.code, len(host.exchanges)) == (1, sent)
    assert "The budget of 'host' for 2026-11" in again.err
    assert "budget_usd_per_month in [providers.host]" in again.err
    assert len(ours("status", "--json").json) == 1
    assert isinstance(ours.clock, ManualClock)
    ours.clock.at += timedelta(days=20)
    assert submit(ours, "--epochs", "3", "--again").code == 0
    assert len(ours("costs", "--month", "all", "--json").json["lines"]) == 2


def test_a_refused_job_gives_its_money_back(ours: Ftctl, host: Simulator):
    configure(ours, host, "budget_usd_per_month = 1")
    host.order_fault(
        "create_job", "refuse", status=400, code="invalid_model", message="no such model"
    )
    assert submit(ours).code == 1
    (line,) = ours("costs", "--json").json["lines"]
    assert (line["state"], line["actual_usd"], line["reserved_usd"]) == ("released", 0, 0)


def test_an_evaluation_spends_from_the_budget_and_stops_where_it_ends(ours: Ftctl, host: Simulator):
    submit(ours)
    job = finished(ours)["id"]
    write(ours.home / "test.jsonl", [row(n) for n in range(40)])
    command = ["compare", job, "--test", "test.jsonl", "--arm", "base", "--arm", "tuned"]
    spent = ours("costs", "--json").json["totals"][-1]["actual_usd"]
    # Enough for the estimate of short answers, and not for the longest that may come.
    configure(ours, host, f"budget_usd_per_month = {spent + 0.0015}")
    stopped = ours(*command, "--max-tokens", "400", "--json")
    assert stopped.code == 1
    assert "budget of 'host'" in stopped.err
    assert "whose answers are kept" in stopped.err
    some = ours("costs", "--json").json
    assert 0 < some["totals"][0]["evaluation_usd"] <= 0.0015
    assert some["totals"][0]["left_usd"] >= 0
    configure(ours, host, f"budget_usd_per_month = {spent + 1}")
    done = ours(*command, "--max-tokens", "400", "--json").json
    after = ours("costs", "--json").json["totals"][0]
    assert after["evaluation_usd"] == pytest.approx(
        some["totals"][0]["evaluation_usd"] + done["spent"]
    )
    assert after["reserved_usd"] == 0
    assert ours("status", job, "--json").json["evaluation_usd"] == after["evaluation_usd"]
    configure(ours, host, f"budget_usd_per_month = {spent}")
    calls = host.count("chat")
    refused = ours(*command, "--max-tokens", "401", "--json")
    assert (refused.code, host.count("chat")) == (1, calls)


def a_vault(ftctl: Ftctl, budgets: Budgets) -> Vault:
    app = ftctl.app()
    return Vault(spendings=app.spendings, budgets=budgets, clock=ftctl.clock, claim=app.claim)


def test_the_reservation_of_a_dead_run_is_given_back_and_that_of_a_live_one_is_not(ours: Ftctl):
    vault = a_vault(ours, Budgets(overall=10 * MICROS))
    with allowance(vault, subject="compare test.jsonl") as alive:
        alive.open("host", Decimal(3))
        assert release_dead(vault) == 0
        assert vault.spendings.all()[0].state is SpendingState.RESERVED
    assert vault.spendings.all()[0].state is SpendingState.RELEASED
    dead = a_vault(ours, Budgets())
    with allowance(dead, subject="compare test.jsonl") as run:
        run.cover("host", Decimal(0), Decimal("0.25"))
        run.paid("host", Decimal("0.125"))
        (held,) = [each for each in dead.spendings.all() if each.state is SpendingState.RESERVED]
    # As if its process had died before the end: the row is open, and its lock is free.
    dead.spendings.change(held)
    assert release_dead(dead) == 1
    (found,) = [each for each in dead.spendings.all() if each.id == held.id]
    # What it paid, and what was under way, as far as that was reserved.
    assert (found.state, found.actual) == (SpendingState.ACTUAL, 312_500)


def test_an_own_machine_is_priced_by_its_hours_or_listed_as_unpriced(ours: Ftctl, host: Simulator):
    text = f'[providers.host]\nkind = "simulator"\nbase_url = "{host.url}"\n'
    (ours.home / "ftctl.toml").write_text(text)
    submit(ours)
    finished(ours)
    (line,) = ours("costs", "--json").json["lines"]
    assert (line["unpriced"], line["actual_usd"]) == (True, None)
    assert "unpriced" in ours("costs").out
    (ours.home / "ftctl.toml").write_text(f"{text}usd_per_hour = 3.6\n")
    submit(ours, "--again")
    assert isinstance(ours.clock, ManualClock)
    for _ in range(20):
        ours.clock.sleep(301)
        ours("sync", "--all")
    first, second = ours("costs", "--json").json["lines"]
    priced = next(each for each in (first, second) if not each["unpriced"])
    assert priced["state"] == "actual"
    assert priced["actual_usd"] > 0


def test_a_spreadsheet_gets_no_formulas(ours: Ftctl):
    submit(ours, "--allow-unpriced", model="=cmd|calc")
    text = ours("costs", "--csv").out
    (line,) = csv.DictReader(io.StringIO(text))
    assert line["subject"] == "'=cmd|calc"
    assert line["unpriced"] == "True"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[budget]\nusd_per_month = "much"\n', "usd_per_month in [budget]"),
        ("[budget]\nusd = 3\n", "[budget]"),
        ("[providers.openai]\nbudget_usd_per_month = -1\n", "[providers.openai]"),
    ],
)
def test_a_budget_that_is_none_is_said_before_anything_else(ftctl: Ftctl, text: str, said: str):
    (ftctl.home / "ftctl.toml").write_text(text)
    done = ftctl("costs")
    assert done.code == 3
    assert said in done.err


def test_a_month_is_a_month(ftctl: Ftctl):
    assert ftctl("costs", "--month", "2026-13").code == 2
    assert ftctl("costs", "--month", "all").code == 0
    assert Path(ftctl.home / "ftctl.db").exists()

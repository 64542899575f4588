"""Deployments from the command line, against a simulated Azure over real HTTP."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from orchestrator.domain.clock import ManualClock
from orchestrator.resources import schema
from providers.simulator import Simulator
from tests.conftest import Ftctl, Outcome
from tests.factories import chat_file, chat_rows
from tests.store.postgresql import Server

MODEL = "gpt-4.1-mini-2025-04-14"
TOKEN = "arm-token-0123456789abcdef"
CONFIG = """[providers.az]
kind = "azure"
base_url = "{url}"
api_key_env = "KEY"
arm_endpoint = "{root}"
arm_token_env = "ARM_TOKEN"
subscription = "0000-1111"
resource_group = "rg-one"
account = "acct"
"""


@dataclass
class Azure:
    """An installation with one succeeded job at a simulated Azure."""

    ftctl: Ftctl
    sim: Simulator
    clock: ManualClock
    job: str

    def __call__(self, *arguments: str) -> Outcome:
        return self.ftctl(*arguments)

    def deploy(self, *more: str) -> Outcome:
        return self.ftctl("deploy", self.job, "--yes", "--json", *more)

    def stand(self, *more: str) -> dict[str, Any]:
        """Deploy and wait."""
        outcome = self.deploy("--wait", *more)
        assert outcome.code == 0, outcome.err
        found: dict[str, Any] = outcome.json
        assert found["state"] == "succeeded"
        return found

    def at_host(self) -> dict[str, str]:
        """Name to model of everything the host has."""
        with self.sim._memory.change() as state:
            return {name: record["model"] for name, record in state["arm"].items()}

    def puts(self) -> int:
        return self.sim.count("put_deployment")

    def wait(self, **span: float) -> None:
        self.clock.at += timedelta(**span)

    def one(self) -> dict[str, Any]:
        rows: list[dict[str, Any]] = self.ftctl("deployments", "list", "--all", "--json").json
        assert len(rows) == 1
        return rows[0]

    def errors(self) -> list[str]:
        events = self.ftctl("events", self.job, "--json").json
        return [e["message"] for e in events if e["source"] == "ftctl"]


@pytest.fixture
def azure(ftctl: Ftctl) -> Iterator[Azure]:
    clock = ManualClock()
    ftctl.clock = clock
    with Simulator("azure", clock=clock) as sim:
        root = sim.url.removesuffix("/openai/v1")
        (ftctl.home / "ftctl.toml").write_text(CONFIG.format(url=sim.url, root=root))
        ftctl.environment |= {"KEY": "sk-test-0123456789", "ARM_TOKEN": TOKEN}
        rows = chat_file(ftctl.home / "train.jsonl")
        made = ftctl("submit", rows, "--provider", "az", "--model", MODEL, "--json")
        assert made.code == 0, made.err
        sim.advance(10)
        assert ftctl("sync", "--all").code == 0
        yield Azure(ftctl, sim, clock, made.json["id"])


def questions(path: Path, count: int) -> None:
    """Test rows that training never saw."""
    text = "".join(json.dumps(row) + "\n" for row in chat_rows(count, "other"))
    path.write_text(text.replace("question number", "another question,"))


def valid(name: str, value: Any) -> Any:
    Draft202012Validator(schema(f"{name}.schema.json")).validate(value)
    return value


def test_the_idle_bill_is_said_before_anything_is_sent(azure: Azure):
    outcome = azure("deploy", azure.job, "--dry-run", "--json")
    assert outcome.code == 0
    assert "$1,241.00 a month, called or not" in outcome.err
    assert valid("deployments", outcome.json)["usd_per_month"] == 1241
    unpriced = azure("deploy", azure.job, "--dry-run", "--sku", "GlobalProvisionedManaged")
    assert "unpriced" in unpriced.err
    free = azure("deploy", azure.job, "--dry-run", "--sku", "developertier")
    assert "costs nothing by the hour" in free.err
    assert "after 24 h" in free.err
    assert azure.puts() == 0
    assert azure("deployments", "list", "--all", "--json").json == []


def test_without_a_person_to_ask_the_flag_must_say_yes(azure: Azure):
    outcome = azure("deploy", azure.job)
    assert outcome.code == 2
    assert "--yes" in outcome.err
    assert azure.puts() == 0


def test_a_deployment_in_a_ledger_that_machines_share(
    ftctl: Ftctl, postgresql: Server, request: pytest.FixtureRequest
):
    ftctl.environment["FTCTL_DATABASE_URL"] = postgresql.new_url()
    azure = request.getfixturevalue("azure")
    made = azure.stand()
    test = ftctl.home / "test.jsonl"
    questions(test, 12)
    assert azure("compare", azure.job, "--test", str(test)).code in {0, 1, 10}
    assert azure.one()["last_call"] is not None
    assert azure("undeploy", made["id"], "--yes").code == 0
    azure("sync")
    assert azure.one()["state"] == "deleted"


def test_a_deployment_from_the_intent_to_its_end(azure: Azure):
    made = valid("deployments", azure.stand())
    assert made["name"] == f"ftctl-{azure.job}"
    assert azure.at_host() == {made["name"]: made["model"]}
    azure.wait(hours=10)
    listed = valid("deployments", azure("deployments", "--json").json)[0]
    assert listed["hours"] == pytest.approx(10, abs=0.1)
    assert listed["usd"] == pytest.approx(1.70 * listed["hours"])
    status = azure("status")
    assert "no call by ftctl" in status.err
    assert f"ftctl undeploy {made['id']}" in status.err
    assert valid("status", azure("status", azure.job, "--json").json)["deployments"]
    ended = azure("undeploy", azure.job, "--yes", "--json")
    assert (ended.code, ended.json["state"]) == (0, "deleting")
    done = valid("sync", azure("sync", "--json").json)
    assert [each["after"] for each in done["deployments"]] == ["deleted"]
    assert azure.at_host() == {}
    before = azure.one()["usd"]
    azure.wait(days=30)
    assert azure.one()["usd"] == before > 0
    assert "undeploy" not in azure("status").err


def test_the_same_command_again_makes_no_second_one(azure: Azure):
    first = azure.deploy()
    again = azure.deploy()
    assert first.json["id"] == again.json["id"]
    assert azure.puts() == 1


def test_sync_follows_and_asks_once_a_resource(azure: Azure):
    azure.deploy()
    azure.deploy("--name", "second", "--sku", "DeveloperTier")
    before = azure.sim.count("list_deployments")
    azure.sim.advance()
    done = azure("sync", "--json").json
    assert [each["after"] for each in done["deployments"]] == ["creating"] * 2
    assert azure.sim.count("list_deployments") == before + 1
    assert azure.sim.count("get_deployment") == 2  # the looks before the two requests
    azure.sim.advance(2)
    azure("sync")
    asked = azure.sim.count("list_deployments")
    azure("sync")
    assert azure.sim.count("list_deployments") == asked, "what stands is looked at seldom"
    azure.wait(minutes=16)
    azure("sync")
    assert azure.sim.count("list_deployments") == asked + 1


@pytest.mark.parametrize("fault", ["drop_after_accept", "error_500_after_accept", "half_body"])
def test_a_lost_answer_is_settled_by_looking(azure: Azure, fault: str):
    azure.sim.order_fault("put_deployment", fault)
    outcome = azure.deploy()
    assert (outcome.code, outcome.json["state"]) == (0, "accepted")
    assert azure.puts() == 1


def test_a_lost_answer_with_nobody_to_ask_is_settled_by_sync(azure: Azure):
    azure.sim.order_fault("put_deployment", "drop_after_accept")
    azure.sim.order_fault("get_deployment", "slow", seconds=0)
    azure.sim.order_fault("get_deployment", "refuse", times=3, status=503)
    outcome = azure.deploy()
    assert (outcome.code, outcome.json["state"]) == (4, "unknown")
    assert "may be billed" in azure("status").err
    azure("sync")
    assert azure.one()["state"] == "accepted"
    assert azure.puts() == 1


def test_a_request_that_never_arrived_is_sent_by_a_person_and_by_nobody_else(azure: Azure):
    azure.sim.order_fault("put_deployment", "drop_before")
    assert azure.deploy().json["state"] == "unknown"
    azure("sync")
    azure.wait(minutes=11)
    azure("sync")
    assert azure.puts() == 1
    assert any(f"ftctl deploy {azure.job} asks again" in message for message in azure.errors())
    assert azure.deploy().json["state"] == "accepted"
    assert azure.puts() == 2


def test_a_request_that_arrives_late_is_found(azure: Azure):
    azure.sim.order_fault("put_deployment", "late", seconds=1800)
    assert azure.deploy().json["state"] == "unknown"
    azure.wait(minutes=20)
    azure("sync")
    assert azure.one()["state"] == "unknown"
    azure.wait(minutes=20)
    azure("sync")
    assert azure.one()["state"] in {"accepted", "creating"}


def test_what_is_given_up_while_it_is_on_its_way_is_ended_when_it_arrives(azure: Azure):
    azure.sim.order_fault("put_deployment", "late", seconds=300)
    azure.deploy()
    assert azure("undeploy", azure.job, "--yes", "--json").json["state"] == "deleting"
    azure.wait(minutes=6)
    azure("sync")
    azure("sync")
    azure.wait(minutes=6)
    azure("sync")
    assert azure.at_host() == {}
    assert azure.one()["state"] == "deleted"


def test_a_name_that_serves_another_model_is_neither_written_over_nor_deleted(azure: Azure):
    azure.sim.deploy("theirs", "their-model")
    outcome = azure.deploy("--name", "theirs")
    assert outcome.code == 1
    assert "theirs" in outcome.json["error"]["message"]
    assert azure.puts() == 0
    azure("undeploy", "theirs", "--yes")
    assert azure.at_host() == {"theirs": "their-model"}
    assert azure.one()["state"] == "deleted"


def test_one_that_stands_already_is_ours_from_now_on(azure: Azure):
    tuned = azure("status", azure.job, "--json").json["tuned_model"]
    azure.sim.deploy("by-hand", tuned)
    outcome = azure.deploy("--name", "by-hand")
    assert (outcome.code, outcome.json["state"]) == (0, "succeeded")
    # It is billed as what it is, and not as what was asked for.
    assert (outcome.json["sku"], outcome.json["capacity"]) == ("Standard", 1)
    assert "regional" in outcome.json["price"]
    assert azure.puts() == 0


def test_one_that_nobody_told_us_of_is_told_once_and_can_be_looked_after(azure: Azure):
    made = azure.stand()
    azure.sim.deploy("by-hand", made["model"])
    azure.sim.deploy("not-ours", "gpt-4.1")
    for _ in range(2):
        azure("sync", "--all")
    told = [message for message in azure.errors() if "did not make it" in message]
    assert len(told) == 1
    assert f"ftctl deploy {azure.job} --name by-hand" in told[0]
    assert azure.deploy("--name", "by-hand").json["state"] == "succeeded"


def test_one_that_stands_under_an_unknown_word_is_looked_after(azure: Azure):
    tuned = azure("status", azure.job, "--json").json["tuned_model"]
    azure.sim.deploy("by-hand", tuned)
    azure.sim.order_fault("get_deployment", "unknown_status", word="Napping")
    assert azure.deploy("--name", "by-hand").json["state"] == "creating"
    azure("sync")
    assert azure.one()["state"] == "succeeded"


def test_waiting_outlasts_a_host_that_cannot_be_asked(azure: Azure):
    azure.sim.order_fault("put_deployment", "slow", seconds=0)
    azure.sim.order_fault("get_deployment", "slow", seconds=0)
    azure.sim.order_fault("get_deployment", "error_500", times=3)
    assert azure.stand()["state"] == "succeeded"


def test_a_name_given_away_between_look_and_request_is_left_alone(azure: Azure):
    azure.sim.order_fault("get_deployment", "refuse", status=404, code="ResourceNotFound")
    azure.sim.deploy("theirs", "their-model")
    outcome = azure.deploy("--name", "theirs")
    assert outcome.code == 1
    assert azure.at_host() == {"theirs": "their-model"}


def test_too_little_quota_is_said_and_a_smaller_wish_is_taken(azure: Azure):
    outcome = azure.deploy("--capacity", "9000")
    assert outcome.code == 1
    assert "9000 new capacity" in outcome.err
    assert "undeploy" not in azure("status").err, "what was refused costs nothing"
    outcome = azure.deploy("--capacity", "5")
    assert (outcome.code, outcome.json["capacity"]) == (0, 5)


def test_a_failure_tells_the_hosts_own_sentence(azure: Azure):
    azure.sim.order_fault("provision", "fail")
    azure.deploy()
    azure.sim.advance(2)
    outcome = azure("sync")
    assert outcome.code == 1
    assert azure.one()["error"]["code"] == "ModelNotAvailableInRegion"
    assert any("not available in the region" in message for message in azure.errors())
    assert azure.deploy().json["state"] == "accepted", "the same name may be asked for again"


def test_a_word_that_nobody_knows_keeps_the_state_and_is_heard_once(azure: Azure):
    azure.stand()
    for _ in range(2):
        azure.sim.order_fault("list_deployments", "unknown_status", word="Napping")
        azure("sync", "--all")
    found = azure.one()
    assert (found["state"], found["remote_state"]) == ("succeeded", "Napping")
    assert sum("'Napping'" in message for message in azure.errors()) == 1


def test_a_developer_deployment_ends_by_itself(azure: Azure):
    made = azure.stand("--sku", "DeveloperTier")
    assert made["usd_per_hour"] == 0
    assert "ends by itself in 23h" in azure("status").err
    azure.wait(hours=25)
    azure("sync")
    assert azure.one()["state"] == "succeeded", "one look is not enough"
    azure.wait(minutes=2)
    azure("sync")
    assert azure.one()["state"] == "deleted"
    assert any("ended by itself" in message for message in azure.errors())


def test_a_host_that_cannot_be_asked_changes_nothing(azure: Azure):
    azure.stand()
    azure.sim.order_fault("list_deployments", "error_500", times=3)
    outcome = azure("sync", "--all", "--json")
    assert outcome.code == 4
    assert outcome.json["unreachable"][0]["provider"] == "az"
    assert azure.one()["state"] == "succeeded"


def test_a_lost_answer_to_the_end_is_gone_on_with(azure: Azure):
    azure.stand()
    azure.sim.order_fault("delete_deployment", "error_500", times=3)
    assert azure("undeploy", azure.job, "--yes").code == 4
    assert azure.one()["state"] == "deleting"
    azure("sync")
    azure("sync")
    assert azure.at_host() == {}
    assert azure.one()["state"] == "deleted"


def test_a_comparison_finds_the_deployment_and_counts_as_a_call(azure: Azure):
    test = azure.ftctl.home / "test.jsonl"
    questions(test, 12)
    refused = azure("compare", azure.job, "--test", str(test))
    assert refused.code == 3
    assert f"ftctl deploy {azure.job}" in refused.err
    assert azure.sim.count("chat") == 0, "nothing is paid before the tuned model can answer"
    azure.deploy()
    assert "does not answer yet" in azure("compare", azure.job, "--test", str(test)).err
    azure.sim.advance(2)
    azure("sync")
    done = azure("compare", azure.job, "--test", str(test), "--json")
    assert done.code in {0, 1, 10}, done.err
    called = {json.loads(e.call.body)["model"] for e in azure.sim.exchanges if e.route == "chat"}
    assert f"ftctl-{azure.job}" in called
    azure.wait(days=2)
    assert "last call by ftctl 2d ago" in azure("status").err
    assert azure("doctor", "--json").json["findings"]
    azure.wait(days=2)
    found = [f for f in azure("doctor", "--json").json["findings"] if f["check"] == "deployments"]
    assert [f["state"] for f in found] == ["look"]
    assert "ftctl undeploy" in found[0]["hint"]


def test_a_recording_finds_the_deployment_too(azure: Azure):
    test = azure.ftctl.home / "test.jsonl"
    questions(test, 3)
    tuned = azure("status", azure.job, "--json").json["tuned_model"]
    arguments = ("record", tuned, "--provider", "az", "--test", str(test), "--name", "now")
    assert f"ftctl deploy {azure.job}" in azure(*arguments).err
    azure.stand()
    assert azure(*arguments).code == 0
    assert azure.one()["last_call"] is not None


def test_a_checkpoint_can_be_served(azure: Azure):
    step = azure.ftctl.app().jobs.checkpoints(azure.job)[0].step
    made = azure.stand("--checkpoint", str(step))
    assert made["name"] == f"ftctl-{azure.job}-step-{step}"
    assert azure.at_host() == {made["name"]: made["model"]}
    assert azure.deploy("--checkpoint", "999999").code == 2


def test_a_job_without_a_model_is_not_deployed(azure: Azure):
    rows = chat_file(azure.ftctl.home / "more.jsonl", label="more")
    job = azure("submit", rows, "--provider", "az", "--model", MODEL, "--json").json["id"]  # type: ignore[arg-type]
    outcome = azure("deploy", job, "--yes")
    assert outcome.code == 2
    assert "no tuned model" in outcome.err


def test_an_intent_that_was_never_sent_is_given_up_without_asking(azure: Azure):
    azure.sim.order_fault("put_deployment", "rate_limited", retry_after=1)
    assert azure.deploy().code == 4
    assert azure.one()["state"] == "planned"
    assert azure("sync", "--json").json["deployments"] == []
    before = len(azure.sim.exchanges)
    assert azure("undeploy", azure.job, "--yes").code == 0
    assert len(azure.sim.exchanges) == before
    assert azure.one()["state"] == "deleted"


def test_a_profile_that_names_another_resource_does_not_look_after_ours(azure: Azure):
    azure.stand()
    config = azure.ftctl.home / "ftctl.toml"
    config.write_text(config.read_text().replace('"acct"', '"other"'))
    outcome = azure("sync", "--all")
    assert outcome.code == 4
    assert "another resource" in outcome.err
    assert azure.one()["state"] == "succeeded"


def test_the_token_is_kept_nowhere(azure: Azure):
    azure.sim.order_fault(
        "put_deployment", "refuse", status=400, code="Odd", message=f"Who is {TOKEN}?"
    )
    outcome = azure.deploy()
    assert outcome.code == 1
    assert TOKEN not in outcome.out + outcome.err
    for path in azure.ftctl.home.rglob("*"):
        if path.is_file():
            assert TOKEN.encode() not in path.read_bytes(), path


def test_two_at_once_are_told_apart_by_their_names(azure: Azure):
    azure.stand()
    other = azure.deploy("--name", "second")
    assert "both are billed" in other.err
    outcome = azure("undeploy", azure.job, "--yes")
    assert outcome.code == 2
    assert "more than one" in outcome.err
    assert azure("undeploy", "second", "--yes").code == 0


def test_the_rehearsal_inside_this_process_deploys_too(ftctl: Ftctl):
    (ftctl.home / "ftctl.toml").write_text(
        '[providers.rehearsal]\nkind = "simulator"\ndialect = "azure"\n'
    )
    rows = chat_file(ftctl.home / "train.jsonl")
    made = ftctl("submit", rows, "--provider", "rehearsal", "--model", MODEL, "--wait", "--json")
    assert made.code == 0, made.err
    outcome = ftctl("deploy", made.json["id"], "--wait", "--json")
    assert (outcome.code, outcome.json["state"]) == (0, "succeeded"), outcome.err
    test = ftctl.home / "test.jsonl"
    questions(test, 12)
    done = ftctl("compare", made.json["id"], "--test", test, "--json")
    assert done.code in {0, 1, 10}, done.err


def test_costs_count_the_hours_of_what_stands(azure: Azure):
    stood = azure.stand()
    azure.wait(hours=10)
    found = azure("costs", "--json").json
    (line,) = [each for each in found["lines"] if each["purpose"] == "hosting"]
    assert (line["provider"], line["job"], line["subject"]) == ("az", azure.job, stood["name"])
    assert line["state"] == "standing"
    assert line["actual_usd"] == found["totals"][-1]["hosting_usd"] == pytest.approx(17, abs=0.05)


class TestNotifications:
    def hear(self, azure: Azure, on: str) -> Path:
        heard = azure.ftctl.home / "heard.jsonl"
        keep = f"import sys; open({str(heard)!r}, 'a').write(sys.stdin.read() + chr(10))"
        config = azure.ftctl.home / "ftctl.toml"
        config.write_text(
            config.read_text()
            + f'\n[[notify]]\nname = "ops"\non = [{on}]\n'
            + f"command = {json.dumps([sys.executable, '-c', keep])}\n"
        )
        azure("status")
        return heard

    def told(self, heard: Path) -> list[dict[str, Any]]:
        lines = heard.read_text().splitlines() if heard.exists() else []
        found = [json.loads(line) for line in lines if line]
        for each in found:
            Draft202012Validator(schema("notification.schema.json")).validate(each)
        return found

    def test_who_asked_is_told_that_it_stands_and_that_it_is_gone_once(self, azure: Azure):
        heard = self.hear(azure, '"deployment"')
        stood = azure.stand()
        azure("sync")
        azure("sync")
        (up,) = self.told(heard)
        assert (up["type"], up["data"]["id"]) == ("deployment.succeeded", stood["id"])
        assert up["data"]["usd_per_hour"] == 1.7
        assert "$1.7 an hour" in up["text"]
        azure("undeploy", stood["id"], "--yes")
        azure.wait(minutes=10)
        azure("sync")
        azure("sync")
        assert [each["type"] for each in self.told(heard)] == [
            "deployment.succeeded", "deployment.deleted",
        ]  # fmt: skip
        shown = azure("notifications", "list", "--json").json
        assert {each["topic"] for each in shown} == {"deployment.succeeded", "deployment.deleted"}

    def test_who_did_not_ask_is_not_told_and_news_begin_with_the_entry(self, azure: Azure):
        stood = azure.stand()
        heard = self.hear(azure, '"deployment"')
        azure("sync")
        assert self.told(heard) == []
        config = azure.ftctl.home / "ftctl.toml"
        config.write_text(config.read_text().replace('on = ["deployment"]', 'on = ["failed"]'))
        azure("undeploy", stood["id"], "--yes")
        azure.wait(minutes=10)
        azure("sync")
        assert self.told(heard) == []


class TestReport:
    def hosting(self, azure: Azure) -> dict[str, Any]:
        report = azure("report", azure.job, "--out", str(azure.ftctl.home / "out"), "--json").json
        return dict(report["costs"]["hosting_month"])

    def test_the_hosting_line_goes_by_the_tier_that_is_deployed(self, azure: Azure):
        usual = self.hosting(azure)
        stood = azure.stand("--sku", "DeveloperTier")
        free = self.hosting(azure)
        assert usual["usd"] > 1000
        assert free["usd"] == 0
        assert (
            f"deployed as {stood['name']} (DeveloperTier), which the host ends after 24 h"
            in (free["note"])
        )

"""Comparing any models on the same rows, where nothing was trained by ftctl."""

from __future__ import annotations

import jsonschema
import pytest

from orchestrator.resources import schema
from orchestrator.usecases.comparing.arm_specs import parse_arm
from tests.conftest import Ftctl
from tests.usecases.comparing import Host, answered_by, elsewhere, row, write

OLD, NEW = "model:openai/gpt-4.1-mini", "model:openai/gpt-6-luna"


@pytest.fixture
def hosts(ftctl: Ftctl) -> dict[str, Host]:
    return answered_by(ftctl, Host(), elsewhere(right={"gpt-6-luna": 95, "gpt-4.1-mini": 60}))


def test_any_model_of_any_provider_stands_on_any_arm(ftctl, hosts, held_out):
    assert parse_arm("model:hub/org/name:tag+few-shot:2").model == "org/name:tag"
    outcome = ftctl(
        "compare", "--test", held_out, "--arm", "model:local/tiny", "--arm", OLD, "--arm", NEW,
        "--json",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    jsonschema.validate(outcome.json, schema("compare.schema.json"))
    assert outcome.json["job_id"] is None
    assert [(d["candidate"], d["baseline"]) for d in outcome.json["differences"]] == [
        (NEW, "model:local/tiny"),
        (NEW, OLD),
    ]
    assert "candidate: model:openai/gpt-6-luna" in outcome.err
    listed = ftctl("comparisons", "--json").json
    jsonschema.validate(listed, schema("comparisons.schema.json"))
    assert [(each["id"], each["job_id"]) for each in listed] == [(outcome.json["id"], None)]


def test_baseline_and_candidate_are_named(ftctl, hosts, held_out):
    arms = ["--arm", NEW, "--arm", OLD, "--arm", "model:local/tiny"]
    outcome = ftctl("compare", "--test", held_out, *arms, "--candidate", OLD, "--json")
    # gpt-6-luna is the best baseline, and the candidate is far behind it.
    assert (outcome.code, outcome.json["best_baseline"]) == (1, NEW)
    named = ftctl(
        "compare", "--test", held_out, *arms, "--candidate", NEW, "--baseline", OLD, "--json"
    ).json
    assert named["baseline"] == OLD
    assert f"{NEW} against {OLD}, the baseline named" in named["reason"]


def test_a_recording_stands_against_its_successor(ftctl, hosts, held_out):
    recorded = ftctl(
        "record", "gpt-4.1-mini", "--provider", "openai", "--test", held_out, "--name", "old"
    )
    assert recorded.code == 0, recorded.err
    asked = len(hosts["openai"].asked)
    outcome = ftctl(
        "compare", "--test", held_out, "--source", "recorded:old", "--margin", 3, "--arm", NEW,
        "--candidate", NEW, "--json",
    )  # fmt: skip
    assert (outcome.code, outcome.json["source"]) == (0, "recorded:old")
    assert len(hosts["openai"].asked) == asked + 120
    again = ftctl(
        "compare", "--test", held_out, "--source", "recorded:old", "--margin", 3, "--arm", NEW,
        "--candidate", NEW, "--json",
    )  # fmt: skip
    assert again.json["asked"] == 0
    assert len(hosts["openai"].asked) == asked + 120


def test_training_rows_give_examples_and_no_test_row(ftctl, hosts, held_out):
    training = write(ftctl.home / "training.jsonl", [row(n) for n in range(110, 160)])
    outcome = ftctl(
        "compare", "--test", held_out, "--training", training, "--provider", "openai",
        "--arm", "base:gpt-4.1-mini", "--arm", f"{OLD}+few-shot:4", "--arm", "base:gpt-6-luna",
        "--json",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert outcome.json["leaked"] == 10
    assert {len(request.messages) for request in hosts["openai"].asked} == {1, 9}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ((), "needs two arms"),
        (("--arm", NEW), "needs two arms"),
        (("--arm", "base:tiny", "--arm", NEW), "does not say who answers"),
        (("--arm", OLD, "--arm", "tuned"), "no job is named"),
        (("--arm", "model:luna", "--arm", OLD), "does not say whose model"),
        (("--arm", OLD, "--arm", f"{NEW}+few-shot:4"), "needs 4 training rows"),
        (("--arm", OLD, "--arm", NEW, "--grader", "judge:x"), "does not say who answers for it"),
        (("--arm", OLD, "--arm", NEW, "--baseline", NEW), "is a candidate"),
    ],
)
def test_what_cannot_be_asked_is_said_with_its_mend(ftctl, hosts, held_out, options, sentence):
    outcome = ftctl("compare", "--test", held_out, *options)
    assert (outcome.code, hosts["openai"].asked) == (2, [])
    assert sentence in outcome.err
    assert "Traceback" not in outcome.err


ANSWERS = """
name = "Ada Example"
date = 2026-11-20
[answers."uc.risk"]
status = "pass"
[answers."ben.forget"]
status = "n/a"
[numbers]
requests_per_month = 300000
error_cost = 0.05
effort_hours = 8
hourly_rate = 90
"""


def test_the_report_decides_whether_one_model_replaces_another(ftctl, hosts, held_out):
    made = ftctl("compare", "--test", held_out, "--arm", OLD, "--arm", NEW, "--json").json
    answers = ftctl.home / "answers.toml"
    answers.write_text(ANSWERS, encoding="utf-8")
    out = ftctl.home / "report"
    outcome = ftctl(
        "report", "--comparison", made["id"], "--answers", answers, "--out", out, "--json"
    )
    assert outcome.code == 0, outcome.out
    found = outcome.json
    jsonschema.validate(found, schema("report.schema.json"))
    assert (found["job"], found["stage"], found["verdict"]) == (None, "switch", "GO")
    assert found["subject"] == f"{NEW} in place of {OLD}"
    assert found["because"] == ["ben.quality", "ben.cost"]
    assert found["costs"]["training"] == {"usd": 0.0, "note": "nothing was trained"}
    assert found["costs"]["unpriced"] == []
    assert found["costs"]["scenario"]["fixed"] == 0
    page = (out / "report.html").read_text(encoding="utf-8")
    assert f"comparison {made['id']}" in page
    assert "in place of" in (out / "report.md").read_text(encoding="utf-8")
    assert ftctl("report", "--comparison", made["id"], "--out", out).code == 10  # nobody answered
    assert ftctl("report").code == 2


def test_a_self_hosted_candidate_has_a_machine_to_pay(ftctl, hosts, held_out):
    hosts["local"].right["tiny"] = 99
    arms = ["--arm", OLD, "--arm", "model:local/tiny"]
    made = ftctl("compare", "--test", held_out, *arms, "--json").json
    found = ftctl("report", "--comparison", made["id"], "--out", ftctl.home / "r", "--json").json
    assert found["costs"]["unpriced"] == ["hosting"]


def test_translations_are_compared_as_a_corpus_too(ftctl, hosts, held_out):
    arms = ["--arm", OLD, "--arm", NEW]
    found = ftctl("compare", "--test", held_out, *arms, "--task", "translation", "--json").json
    corpus = [d for d in found["secondary"] if d["metric"] == "corpus_chrf"]
    assert len(corpus) == 1
    assert corpus[0]["low"] < corpus[0]["diff"] < corpus[0]["high"]
    values = [arm["metrics"]["corpus_chrf"] for arm in found["arms"]]
    assert corpus[0]["diff"] == pytest.approx(values[1] - values[0])
    shown = ftctl("compare", "--test", held_out, *arms, "--task", "translation")
    assert "corpus_chrf: model:openai/gpt-6-luna" in shown.out

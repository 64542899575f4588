"""A comparison whose grader is a model: asked like any other, and measured itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

import jsonschema
import pytest

from orchestrator.domain.chat import ChatRequest
from orchestrator.domain.job import Job
from orchestrator.domain.provider import Provider
from orchestrator.domain.sample import text_of
from orchestrator.resources import schema
from tests.conftest import Ftctl
from tests.usecases.comparing import LABELS, Host, row, tuned_job, write


def fair(request: ChatRequest) -> str:
    """Prefers whichever answer is the reference; a tie when both are."""
    text = text_of(request.messages[-1])
    a, b = text.split("ANSWER A\n")[1].split("\n\nANSWER B\n")
    number = int(text.split("ticket ")[1].split()[0])
    right = LABELS[number % 2]
    if (a == right) == (b.strip() == right):
        return "VERDICT: TIE"
    return "VERDICT: A" if a == right else "VERDICT: B"


@pytest.fixture
def judge(ftctl: Ftctl) -> Host:
    made = {
        "local": Host(),
        "openai": Host(name="openai", kind="openai", account="account-2", say=fair),
    }
    ftctl.build_provider = lambda profile: cast(Provider, made[profile.name])
    return made["openai"]


@pytest.fixture
def job(ftctl: Ftctl) -> Job:
    return tuned_job(ftctl)


@pytest.fixture
def held_out(ftctl: Ftctl) -> Path:
    return write(ftctl.home / "test.jsonl", [row(n) for n in range(100)])


def judged(ftctl: Ftctl, job: Job, test: Path, *more: str):
    arms = ("--arm", "base", "--arm", "tuned")
    grader = ("--grader", "judge:gpt-6-luna@openai")
    return ftctl("compare", job.id, "--test", str(test), *arms, *grader, "--json", *more)


def test_a_fair_judge_finds_the_better_model(ftctl, judge, job, held_out):
    done = judged(ftctl, job, held_out)
    jsonschema.validate(done.json, schema("compare.schema.json"))
    assert done.json["metric"] == "judge"
    assert done.json["verdict"] == "Improved"
    assert done.json["judging"]["flips"] == 0
    # Both arms often say the same, and the same question is asked once.
    assert 200 <= len(judge.asked) + 100 < 2 * 2 * 100
    assert all(r.max_tokens == 400 and not r.tools for r in judge.asked)


def test_verdicts_are_kept_and_not_paid_twice(ftctl, judge, job, held_out):
    judged(ftctl, job, held_out)
    before = len(judge.asked)
    again = judged(ftctl, job, held_out)
    assert (len(judge.asked), again.json["asked"]) == (before, 0)


def test_a_judge_that_prefers_a_place_is_found_out(ftctl, judge, job, held_out):
    judge.say = lambda request: "VERDICT: A"
    done = judged(ftctl, job, held_out)
    assert done.json["judging"]["flips"] == 200
    assert done.json["judging"]["first"] == 1.0
    assert done.json["verdict"] == "Inconclusive"
    plain = ftctl("report", job.id, "--json").json
    found = next(c for c in plain["criteria"] if c["id"] == "ben.judge")
    assert found["status"] == "fail"
    assert "100% of 200 verdicts flip" in found["evidence"]


def test_agreement_with_a_person_is_measured(ftctl, judge, job, held_out):
    labels = ftctl.home / "labels.jsonl"
    rows = [{"row": n + 1, "arm": "base", "good": n * 7919 % 100 < 55} for n in range(60)]
    labels.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    done = judged(ftctl, job, held_out, "--human", str(labels))
    judging = done.json["judging"]
    assert (judging["labels"], judging["kappa"]) == (60, 1.0)
    labels.write_text('{"row": 1}', encoding="utf-8")
    assert judged(ftctl, job, held_out, "--human", str(labels)).code == 2


def test_a_judge_without_a_verdict_is_missing_and_no_zero(ftctl, judge, job, held_out):
    judge.say = lambda request: "I would rather not say."
    done = judged(ftctl, job, held_out)
    assert done.code == 1
    assert "gave no verdict" in done.err


def test_what_judging_costs_counts_against_the_limit(ftctl, judge, job, held_out):
    done = judged(ftctl, job, held_out, "--max-cost", "0.000001")
    assert (done.code, len(judge.asked)) == (2, 0)
    paid = judged(ftctl, job, held_out, "--max-cost", "1").json
    assert paid["spent"] == pytest.approx(len(judge.asked) * (24 * 0.1 + 2 * 0.5) / 1e6)

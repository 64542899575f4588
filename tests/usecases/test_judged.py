"""A comparison whose grader is a model: asked like any other, and measured itself."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from orchestrator.domain.chat import ChatRequest
from orchestrator.domain.comparing.sample import text_of
from orchestrator.domain.jobs.job import Job
from orchestrator.resources import schema
from tests.conftest import Ftctl
from tests.usecases.comparing import LABELS, Host, answered_by, elsewhere, row, write


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
    return answered_by(ftctl, Host(), elsewhere(say=fair))["openai"]


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


def test_arms_are_judged_against_each_other(ftctl, judge, job, held_out):
    done = ftctl(
        "compare", job.id, "--test", str(held_out), "--arm", "base", "--arm", "tuned",
        "--grader", "judge-arms:gpt-6-luna@openai", "--json",
    )  # fmt: skip
    jsonschema.validate(done.json, schema("compare.schema.json"))
    assert (done.json["metric"], done.json["verdict"]) == ("win_rate", "Improved")
    base, tuned = done.json["arms"]
    assert base["metrics"]["win_rate"] == 0.5
    # 95 against 55 of 100 right: tuned wins 40 rows more than it loses, and the rest are ties.
    assert tuned["metrics"]["win_rate"] == pytest.approx(0.7)
    judging = done.json["judging"]
    assert (judging["opponent"], judging["flips"], judging["kin"]) == ("base", 0, [])
    # What both say alike is a tie that nobody is asked about, each other row in both orders.
    assert judging["judged"] == done.json["differences"][0]["won"]
    assert len(judge.asked) <= 2 * judging["judged"]
    # "billing" is longer than "refund", and the fair judge does not care.
    assert judging["decided"] == judging["judged"]
    assert 0.3 < judging["longer"] < 0.7


def test_a_judge_of_an_arms_own_family_and_one_that_likes_length_are_found_out(
    ftctl, judge, held_out
):
    def longest(request: ChatRequest) -> str:
        text = text_of(request.messages[-1])
        if "ANSWER A" not in text:
            return "short" if request.model == "gpt-4.1-mini" else "rather longer"
        a, b = text.split("ANSWER A\n")[1].split("\n\nANSWER B\n")
        return f"VERDICT: {'A' if len(a) > len(b) else 'B'}"

    judge.say = longest
    arms = ("--arm", "model:openai/gpt-4.1-mini", "--arm", "model:openai/gpt-6-luna")
    grader = ("--grader", "judge-arms:o4-mini@openai")
    found = ftctl("compare", "--test", str(held_out), *arms, *grader, "--json").json
    assert found["judging"]["kin"] == [arms[1], arms[3]]
    assert found["judging"]["longer"] == 1.0
    shown = ftctl("compare", "--test", str(held_out), *arms, *grader).out
    assert "of the same family as" in " ".join(shown.split())
    assert "100% of 100 wins went to the longer answer" in " ".join(shown.split())


def test_labels_of_a_person_correct_what_the_judge_says(ftctl, judge, job, held_out):
    labels = ftctl.home / "labels.jsonl"
    # The person finds 55 of 100 base answers good; this judge finds every one of them good.
    judge.say = lambda request: (
        "VERDICT: A" if text_of(request.messages[-1]).split("ANSWER A\n")[1][:1] != "X" else "X"
    )
    rows = [{"row": n + 1, "arm": "base", "good": n * 7919 % 100 < 55} for n in range(60)]
    labels.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    corrected = judged(ftctl, job, held_out, "--human", str(labels)).json["judging"]["corrected"]
    assert [(each["arm"], each["labels"], each["judged"]) for each in corrected] == [
        ("base", 60, 0.5)
    ]
    assert corrected[0]["low"] < 0.55 < corrected[0]["high"]
    assert corrected[0]["value"] == pytest.approx(33 / 60, abs=0.02)


def test_labels_of_both_arms_correct_their_difference(ftctl, judge, job, held_out):
    labels = ftctl.home / "labels.jsonl"
    # The judge always takes the first place, so no arm wins; the person likes the tuned one better.
    judge.say = lambda request: "VERDICT: A"
    rows = [
        {"row": n + 1, "arm": arm, "good": n * 7919 % 100 < share}
        for n in range(60)
        for arm, share in (("base", 40), ("tuned", 90))
    ]
    labels.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    done = judged(ftctl, job, held_out, "--human", str(labels))
    jsonschema.validate(done.json, schema("compare.schema.json"))
    (found,) = [d for d in done.json["judging"]["differences"] if d["baseline"] == "base"]
    human = {
        arm: sum(bool(r["good"]) for r in rows if r["arm"] == arm) / 60 for arm in ("base", "tuned")
    }
    assert (found["candidate"], found["labels"], found["judged"]) == ("tuned", 60, 0.0)
    assert found["value"] == pytest.approx(human["tuned"] - human["base"], abs=1e-9)
    assert 0 < found["low"] < found["value"] < found["high"] < 1
    typed = ("--arm", "base", "--arm", "tuned", "--grader", "judge:gpt-6-luna@openai")
    again = ftctl("compare", job.id, "--test", str(held_out), *typed, "--human", str(labels))
    shown = " ".join(again.out.split())
    assert f"tuned - base as a person would score them: {100 * found['value']:+.1f}" in shown

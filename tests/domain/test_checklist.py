"""The checklist: what is found, and which verdict follows. The first rule that matches wins."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.comparing.comparison import Comparison, Word
from orchestrator.domain.deciding.checklist import (
    Answers,
    Criterion,
    Finding,
    Given,
    Kind,
    Measured,
    Status,
    Verdict,
    find,
    judge,
)
from orchestrator.domain.deciding.evidence import DatasetFacts
from orchestrator.domain.deciding.report import Report
from orchestrator.resources import data, schema
from orchestrator.usecases.jobs.dated import default_checklist
from tests.reports.samples import WON_LOST, a_comparison, a_report, a_tuned_job, answered


def status(report: Report, name: str) -> str:
    return next(f.status.value for f in report.findings if f.criterion.id == name)


def evidence(report: Report, name: str) -> str:
    return next(f.evidence for f in report.findings if f.criterion.id == name)


def finding(name: str, kind: Kind, status: Status) -> Finding:
    criterion = Criterion(
        id=name, group="costs", kind=kind, by="auto", title=name, rule="r", next="n"
    )
    return Finding(criterion=criterion, status=status)


def test_the_data_file_is_what_its_schema_says():
    plain = json.loads(data("checklist.1.json").read_text(encoding="utf-8"))
    jsonschema.validate(plain, schema("checklist.schema.json"))
    names = [c["id"] for c in plain["criteria"]]
    assert len(names) == len(set(names))
    assert {n for gates in plain["required_gates"] for n in gates} <= set(names)
    assert all(c.get("ask") for c in plain["criteria"] if c["by"] == "human")


class TestVerdict:
    GATES = [["gate", "other gate"]]

    @pytest.mark.parametrize(
        ("blocker", "gate", "condition", "verdict", "because"),
        [
            ("pass", "pass", "pass", "GO", ["gate"]),
            ("pass", "pass", "fail", "GO_CONDITIONAL", ["condition"]),
            ("pass", "pass", "unknown", "GO", ["gate"]),
            ("n/a", "pass", "pass", "GO", ["gate"]),
            ("pass", "unknown", "fail", "GATHER_EVIDENCE", ["gate"]),
            ("unknown", "unknown", "pass", "GATHER_EVIDENCE", ["blocker", "gate"]),
            ("fail", "unknown", "pass", "NO_GO", ["blocker"]),
            ("unknown", "fail", "pass", "NO_GO", ["gate"]),
        ],
    )
    def test_first_match_wins(
        self, blocker: str, gate: str, condition: str, verdict: str, because: list[str]
    ):
        found = judge(
            [
                finding("blocker", Kind.BLOCKER, Status(blocker)),
                finding("gate", Kind.GATE, Status(gate)),
                finding("condition", Kind.CONDITION, Status(condition)),
            ],
            self.GATES,
        )
        assert (found.verdict.value, found.because) == (verdict, because)

    @pytest.mark.parametrize(
        ("one", "other", "verdict"),
        [
            ("fail", "pass", "GO"),
            ("pass", "fail", "GO"),
            ("fail", "n/a", "NO_GO"),
            ("fail", "unknown", "GATHER_EVIDENCE"),
            ("n/a", "n/a", "GO"),
        ],
    )
    def test_one_of_two_gates_is_enough(self, one: str, other: str, verdict: str):
        findings = [
            finding("gate", Kind.GATE, Status(one)),
            finding("other gate", Kind.GATE, Status(other)),
        ]
        assert judge(findings, self.GATES).verdict.value == verdict

    @given(st.lists(st.sampled_from(list(Status)), min_size=1, max_size=8))
    def test_evidence_and_info_never_decide(self, statuses: list[Status]):
        kinds = (Kind.EVIDENCE, Kind.INFO)
        findings = [finding(str(i), kinds[i % 2], s) for i, s in enumerate(statuses)]
        assert judge(findings, []).verdict is Verdict.GO


class TestPeople:
    def test_an_answer_fills_what_is_not_measured(self):
        checklist = default_checklist()
        answers = Answers(name="Ada", given={"uc.goal": Given(Status.PASS, "rules")})
        found = {f.criterion.id: f for f in find(checklist, {}, answers)}
        assert (found["uc.goal"].status, found["uc.goal"].source) == (Status.PASS, "Ada")
        assert found["uc.risk"].status is Status.UNKNOWN

    def test_a_measurement_is_not_talked_away(self):
        answers = Answers(name="Ada", given={"ben.quality": Given(Status.PASS, "I feel so")})
        measured = {"ben.quality": Measured(Status.FAIL, "-9.0")}
        found = {f.criterion.id: f for f in find(default_checklist(), measured, answers)}
        assert found["ben.quality"].status is Status.FAIL


class TestReport:
    def test_all_met_is_go(self):
        report = a_report()
        assert (report.verdict, report.because) == (Verdict.GO, ["ben.quality", "ben.cost"])
        assert report.actions == []

    def test_without_a_comparison_it_says_what_to_type(self):
        report = a_report(comparison=None, points=[], answers=Answers(), data=None)
        assert report.verdict is Verdict.GATHER_EVIDENCE
        assert {"uc.metric", "ben.quality", "ben.cost"} <= set(report.because)
        assert any("ftctl compare 7k2m9q4r8s1t --test" in action.text for action in report.actions)

    def test_a_useless_tuning_is_no_go(self):
        same = {**WON_LOST, "few-shot:8": (2, 2)}
        report = a_report(comparison=a_comparison(same))
        assert report.verdict is Verdict.NO_GO
        assert "ben.quality" in report.because
        assert "excluded" in evidence(report, "ben.quality")

    def test_an_open_interval_is_not_a_no(self):
        open_yet = {**WON_LOST, "few-shot:8": (24, 16)}
        many = answered(requests_per_month=3e6)
        report = a_report(comparison=a_comparison(open_yet), answers=many)
        assert status(report, "ben.quality") == "unknown"
        assert report.verdict is Verdict.GATHER_EVIDENCE

    def test_a_worse_slice_is_a_condition(self):
        comparison = a_comparison()
        worse = replace(
            comparison.slices[0], diff=-0.25, low=-0.42, high=-0.08, verdict=Word.DEGRADED
        )
        report = a_report(comparison=replace(comparison, slices=[worse]))
        assert (report.verdict, report.because) == (Verdict.GO_CONDITIONAL, ["ben.slices"])

    def test_little_volume_does_not_pay(self):
        report = a_report(answers=answered(requests_per_month=1000))
        assert (report.verdict, report.because) == (Verdict.NO_GO, ["ben.cost"])

    def test_a_model_that_retires_soon_is_no_go(self):
        job = a_tuned_job(provider="openai", kind="openai", model="gpt-4.1-mini-2025-04-14")
        report = a_report(job=job)
        assert "cost.tunable" in report.because
        assert "in 55 days" in evidence(report, "cost.tunable")
        assert report.costs.horizon == 1
        gone = a_report(job=a_tuned_job(kind="openai", model="gpt-4.1-nano"))
        assert gone.verdict is Verdict.NO_GO
        assert gone.costs.horizon == 0

    def test_old_prices_are_said(self):
        job = a_tuned_job(provider="openai", kind="openai", model="gpt-4.1-mini-2025-04-14")
        tuned = replace(a_comparison().arm("tuned"), model="ft:gpt-4.1-mini-2025-04-14:acme::x")
        others = [replace(a, model=job.model) for a in a_comparison().arms if not a.candidate]
        report = a_report(job=job, comparison=replace(a_comparison(), arms=[*others, tuned]))
        assert report.costs.unpriced == []
        assert report.costs.training.usd == pytest.approx(31_780 / 1e6 * 5)
        assert "older than 60 days" in evidence(report, "cost.compute")

    def test_what_has_no_price_is_unpriced(self):
        report = a_report(answers=Answers())
        assert report.costs.training.usd is None
        assert report.costs.business is None
        assert "unpriced: training" in evidence(report, "cost.compute")
        assert report.as_json()["costs"]["training"]["usd"] is None

    @pytest.mark.parametrize(
        ("facts", "name"),
        [
            ({"unique": 40}, "cost.data_n"),
            ({"unique": 900}, "cost.data_quality"),
            ({"conflicting": 60}, "cost.data_quality"),
        ],
    )
    def test_bad_data_is_no_go(self, facts: dict[str, Any], name: str):
        values = {"digest": "a" * 64, "rows": 1000, "unique": 990, "conflicting": 0}
        report = a_report(data=DatasetFacts(**{**values, **facts}))
        assert report.verdict is Verdict.NO_GO
        assert name in report.because

    def test_a_thin_label_is_a_condition(self):
        thin = DatasetFacts(
            digest="a" * 64, rows=500, unique=500, conflicting=0, labels={"a": 481, "other": 19}
        )
        report = a_report(data=thin)
        assert (report.verdict, report.because) == (Verdict.GO_CONDITIONAL, ["cost.slice_cover"])
        assert "other 19" in evidence(report, "cost.slice_cover")

    def test_one_prompt_is_not_enough_of_an_alternative(self):
        comparison = a_comparison({"few-shot:8": (53, 22)})
        arms = [a for a in comparison.arms if a.name in {"few-shot:8", "tuned"}]
        report = a_report(comparison=replace(comparison, arms=arms))
        assert report.because == ["alt.prompt"]
        assert "1 of 3" in evidence(report, "alt.prompt")

    def test_a_baseline_that_misses_the_point_is_no_rival(self):
        comparison = a_comparison()
        arms = [replace(a, outside=300) if not a.candidate else a for a in comparison.arms]
        report = a_report(comparison=replace(comparison, arms=arms))
        assert (report.verdict, report.because) == (Verdict.GATHER_EVIDENCE, ["alt.prompt"])
        assert "none of the labels" in evidence(report, "alt.prompt")

    def test_the_same_inputs_give_the_same_report(self):
        assert a_report().as_json() == a_report().as_json()

    def test_the_published_schema_describes_it(self):
        for report in (a_report(), a_report(comparison=None, data=None, answers=Answers())):
            jsonschema.validate(report.as_json(["x"]), schema("report.schema.json"))

    def test_the_comparison_inside_reads_back(self):
        plain = a_report().as_json()["comparison"]
        assert Comparison.from_json(plain).as_json() == plain

"""Rows in groups, parity both ways, and the migration checks."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from orchestrator.domain.comparing import resampling
from orchestrator.domain.comparing.comparison import Comparison, Judging, Noise, Word
from orchestrator.domain.comparing.difference import Pair, compare_scores
from orchestrator.domain.comparing.power import rows_for_scores
from orchestrator.domain.deciding.report import Report
from orchestrator.usecases.jobs.dated import default_checklist
from tests.reports.samples import a_comparison, a_report

OLD = [1, 1, 1, 1, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 0]
NEW = [1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 0, 1, 1, 1, 0]
GROUPS = list("aaaabbbbcccddeeeefff")


def pair(new: list[float], old: list[float], groups: list[str] | None = None) -> Pair:
    return Pair(candidate="tuned", baseline="base", metric="exact", new=new, old=old, groups=groups)


class TestClusters:
    def test_reference_errors(self):
        scores = [float(s) for s in OLD]
        assert resampling.mean(scores) == 0.5
        assert resampling.clustered_error(scores, GROUPS) == pytest.approx(0.1936491673, abs=1e-9)
        low, high = resampling.clustered_interval(scores, GROUPS)
        half = 2.5705818356 * 0.1936491673
        assert (low, high) == pytest.approx((0.5 - half, 0.5 + half), abs=1e-8)

    def test_groups_undo_what_rows_seem_to_show(self):
        new, old = [float(s) for s in NEW], [float(s) for s in OLD]
        alone = compare_scores(pair(new, old))
        grouped = compare_scores(pair(new, old, GROUPS))
        assert alone.diff == grouped.diff == 0.25
        assert grouped.high - grouped.low == pytest.approx(
            2 * 2.5705818356 * 0.1487447468, abs=1e-8
        )
        assert alone.p < 0.05 < grouped.p
        assert (grouped.units, grouped.verdict) == (6, Word.TOO_FEW)

    def test_ten_groups_decide_and_equal_ones_prove_nothing(self):
        groups = [str(n // 4) for n in range(48)]
        better = compare_scores(pair([1.0] * 48, [float(n % 4 == 0) for n in range(48)], groups))
        assert better.verdict is Word.IMPROVED
        same = compare_scores(pair([1.0] * 48, [1.0] * 48, groups), margin=0.03)
        assert same.verdict is Word.INCONCLUSIVE
        assert same.high == pytest.approx(resampling.no_spread(12))

    def test_groups_that_answer_together_do_not_fool_the_test(self):
        rng, found, runs = random.Random(3), 0, 100
        for _ in range(runs):
            groups, new, old = [], [], []
            for group in range(20):
                shift = rng.choice((-1, 0, 1))
                for _ in range(6):
                    groups.append(str(group))
                    new.append(float(shift > 0))
                    old.append(float(shift < 0))
            found += compare_scores(pair(new, old, groups)).verdict is not Word.INCONCLUSIVE
        assert found / runs < 0.1


class TestManyRows:
    def test_the_normal_limit_agrees_with_the_permutation(self):
        rng = random.Random(1)
        values = [rng.gauss(0.03, 0.3) for _ in range(390)]
        drawn = resampling.sign_flip(values)
        more = [*values, *(1e-9 * n for n in range(1, 60))]
        assert resampling.sign_flip(more) == pytest.approx(drawn, abs=0.02)

    def test_fewer_resamples_give_the_same_interval(self):
        rng = random.Random(2)
        values = [rng.random() for _ in range(3000)]
        few, many = resampling.bootstrap(values), resampling.bootstrap(values, resamples=6000)
        assert few.low == pytest.approx(many.low, abs=0.001)
        assert few.high == pytest.approx(many.high, abs=0.001)


def migrating(**changes: object) -> Report:
    margin = 0.05
    found = a_comparison()
    parity = compare_scores(
        Pair(
            candidate="tuned", baseline="few-shot:8", metric="exact",
            new=[1.0] * 359 + [0.0] * 41, old=[1.0] * 357 + [0.0] * 43,
        ),
        margin=margin,
    )  # fmt: skip
    others = [d for d in found.differences if d.baseline != "few-shot:8"]
    arms = [
        replace(a, name="recorded:old", note="recorded on 2026-11-01")
        if a.name == "few-shot:8"
        else a
        for a in found.arms
    ]
    parity = replace(parity, baseline="recorded:old")
    values: dict[str, object] = {
        "arms": arms,
        "differences": [*others, parity],
        "source": "recorded:old",
        "best_baseline": "few-shot:3",
        "verdict": parity.verdict,
        "plan": {**found.plan, "margin": margin},
    }
    comparison = replace(found, **{**values, **changes})  # type: ignore[arg-type]
    return a_report(comparison=comparison, checklist=default_checklist("migrate"))


def status(report: Report) -> dict[str, str]:
    return {f.criterion.id: f.status.value for f in report.findings}


class TestMigration:
    def test_parity_with_a_recording_is_go(self):
        report = migrating()
        assert report.because == ["mig.parity"]
        assert (report.verdict, status(report)["mig.recorded"]) == ("GO", "pass")

    def test_a_margin_that_came_late_decides_nothing(self):
        report = migrating(margin_after="cmp1")
        assert (report.verdict, report.because) == ("GATHER_EVIDENCE", ["mig.parity"])

    def test_references_of_the_source_itself_are_said(self):
        found = migrating().comparison
        assert found is not None
        arms = [
            replace(a, metrics={"exact": 1.0}) if a.name == "recorded:old" else a
            for a in found.arms
        ]
        assert status(migrating(arms=arms))["mig.gold"] == "fail"

    def test_a_live_source_is_not_frozen(self):
        found = migrating().comparison
        assert found is not None
        arms = [replace(a, name="base@x:y") if a.name == "recorded:old" else a for a in found.arms]
        differences = [
            replace(d, baseline="base@x:y") if d.baseline == "recorded:old" else d
            for d in found.differences
        ]
        report = migrating(arms=arms, differences=differences, source="base@x:y")
        assert status(report)["mig.recorded"] == "unknown"

    @pytest.mark.parametrize(
        ("flips", "labels", "kappa", "wanted"),
        [(10, 60, 0.7, "pass"), (30, 60, 0.7, "fail"), (10, 60, 0.4, "fail"), (10, 9, 0.9, "fail")],
    )
    def test_a_judge_is_judged(self, flips: int, labels: int, kappa: float, wanted: str):
        judging = Judging(model="m", judged=100, flips=flips, first=0.5, labels=labels, kappa=kappa)
        assert status(migrating(judging=judging))["ben.judge"] == wanted


@pytest.mark.parametrize(("floor", "wanted"), [(0.2, "unknown"), (0.9, "fail")])
def test_noise_eats_headroom(floor: float, wanted: str):
    noise = Noise(
        arm="base", again="again:base", n=400, diff=0.0, low=-floor, high=floor, discordant=0.1
    )
    comparison: Comparison = replace(a_comparison(), noise=noise)
    report = a_report(comparison=comparison)
    assert status(report)["alt.headroom"] == wanted
    assert f"A/A noise {100 * floor:.1f}" in next(
        f.evidence for f in report.findings if f.criterion.id == "alt.headroom"
    )


def test_parity_rows_by_formula_are_near_the_exact_ones():
    assert rows_for_scores(0.03, 0.10, alpha=0.10) == pytest.approx(687, abs=1)

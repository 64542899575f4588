"""Few rows decide nothing against a model, and the report says how many would decide."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from orchestrator.domain.comparing import adequacy, power, resampling
from orchestrator.domain.comparing.comparison import Comparison, Difference
from orchestrator.domain.comparing.difference import Pair, compare_scores
from orchestrator.domain.comparing.statistics import wilson
from orchestrator.domain.deciding.checklist import Verdict
from orchestrator.domain.deciding.report import Report
from tests.domain.test_checklist import evidence, status
from tests.reports.samples import a_comparison, a_report

Scores = list[tuple[float, float]]


def difference(rows: Scores, margin: float | None = None) -> Difference:
    new, old = [a for a, _ in rows], [b for _, b in rows]
    pair = Pair(candidate="tuned", baseline="few-shot:8", metric="exact", new=new, old=old)
    return compare_scores(pair, margin=margin)


def about(rows: Scores, margin: float | None = None) -> Comparison:
    """The usual comparison, as if it had come from these rows."""
    found, size = difference(rows, margin), len(rows)
    arms = []
    for arm in a_comparison().arms:
        scores = [a if arm.candidate else b for a, b in rows]
        mean = sum(scores) / size
        arms.append(
            replace(
                arm,
                n=size,
                metrics={"exact": mean},
                intervals={"exact": list(wilson(round(sum(scores)), size))},
            )
        )
    return replace(
        a_comparison(), arms=arms, differences=[found], slices=[], verdict=found.verdict,
        detectable=adequacy.detectable(found), baseline="few-shot:8",
    )  # fmt: skip


def reported(rows: Scores, margin: float | None = None, **more: Any) -> Report:
    return a_report(comparison=about(rows, margin), **more)


BINARY = st.tuples(st.sampled_from([0.0, 1.0]), st.sampled_from([0.0, 1.0]))
GRADED = st.tuples(st.floats(0, 1), st.floats(0, 1))


@settings(max_examples=30)
@given(
    st.lists(BINARY | GRADED, min_size=10, max_size=49), st.sampled_from(["after_run", "switch"])
)
def test_under_fifty_rows_are_never_a_no(rows: Scores, stage: str):
    assert reported(rows, margin=0.03).verdict is not Verdict.NO_GO


def test_a_lost_comparison_of_forty_rows_names_the_rows_it_needs():
    rows = [(0.0, 1.0)] * 20 + [(1.0, 1.0)] * 20
    report = reported(rows)
    assert report.verdict is Verdict.GATHER_EVIDENCE
    assert status(report, "ben.quality") == "unknown"
    assert re.search(r"40 rows rule nothing out, under 50; about [\d,]+ rows find 5 points",
                     evidence(report, "ben.quality"))  # fmt: skip


def test_the_same_on_four_hundred_rows_is_a_no():
    rows = [(0.0, 1.0)] * 200 + [(1.0, 1.0)] * 200
    report = reported(rows)
    assert report.verdict is Verdict.NO_GO
    assert status(report, "ben.quality") == "fail"


def test_headroom_that_the_interval_does_not_exclude_is_open():
    # 97 of 100 right: at least 1.0 points are open, and perhaps 8.5.
    open_ = reported([(1.0, 1.0)] * 97 + [(1.0, 0.0)] * 3)
    assert status(open_, "alt.headroom") == "unknown"
    assert "it may be 8.5" in evidence(open_, "alt.headroom")
    assert status(reported([(1.0, 1.0)] * 1000), "alt.headroom") == "fail"
    assert status(reported([(1.0, 0.0)] * 500 + [(1.0, 1.0)] * 500), "alt.headroom") == "pass"


class TestAdequacy:
    @pytest.mark.parametrize(("won", "lost", "size"), [(30, 10, 200), (3, 3, 60), (120, 90, 900)])
    def test_right_and_wrong_by_connor(self, won: int, lost: int, size: int):
        rows = [(1.0, 0.0)] * won + [(0.0, 1.0)] * lost + [(1.0, 1.0)] * (size - won - lost)
        found, share = difference(rows), (won + lost) / size
        assert adequacy.detectable(found) == power.detectable(size, share)
        needed = adequacy.rows_for(found, 0.05)
        assert needed == pytest.approx(power.rows_for_difference(0.05, max(share, 0.05)), abs=1)

    def test_scores_by_their_spread_and_not_by_how_many_differ(self):
        # Every row differs a little: as discordant rows they would find nothing under 19 points.
        rows = [(0.5 + 0.02 * (n % 7), 0.5 + 0.02 * (n % 5)) for n in range(210)]
        found = difference(rows)
        error = resampling.standard_error([a - b for a, b in rows])
        wanted = (stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) * error
        assert adequacy.detectable(found) == pytest.approx(wanted, rel=0.05)
        assert adequacy.rows_for(found, wanted) == pytest.approx(210, rel=0.1)

    def test_no_discordant_row_is_no_proof_that_there_is_none(self):
        found = difference([(1.0, 1.0)] * 40, margin=0.03)
        assert adequacy.rows_for(found, 0.05) > 100
        assert adequacy.rows_for_parity(found, 0.03) > 100

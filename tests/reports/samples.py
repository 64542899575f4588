"""A whole report, from invented rows; every number in it is computed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from orchestrator.domain.comparing.comparison import ArmResult, Comparison, RowPair
from orchestrator.domain.comparing.difference import Pair, compare_scores, family
from orchestrator.domain.comparing.statistics import wilson
from orchestrator.domain.deciding.checklist import Answers, Given, Status
from orchestrator.domain.deciding.evidence import DatasetFacts
from orchestrator.domain.deciding.report import Inputs, Report, build
from orchestrator.domain.jobs.job import Job, JobStatus, MetricPoint
from orchestrator.usecases.jobs.dated import default_checklist, newest_lifecycle, newest_prices

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
ROWS = 400
# (name, right answers, prompt tokens, median seconds); tuned wins against each as listed below.
ARMS = (
    ("base", 284, 420.0, 0.42),
    ("few-shot:3", 320, 900.0, 0.50),
    ("few-shot:8", 328, 1640.0, 0.61),
    ("tuned", 359, 165.0, 0.24),
)
WON_LOST = {"base": (93, 18), "few-shot:3": (70, 31), "few-shot:8": (53, 22)}
EVERYTHING = {
    "requests_per_month": 300_000.0,
    "error_cost": 0.12,
    "effort_hours": 80.0,
    "hourly_rate": 90.0,
    "upkeep_hours_per_month": 6.0,
    "gpu_hour": 0.8,
    "serving_gpus": 1.0,
    "latency_slo_ms": 900.0,
}
HUMAN = ("uc.goal", "uc.stability", "uc.risk", "alt.rag", "ben.forget")


def answered(**numbers: float) -> Answers:
    return Answers(
        name="Ada Example",
        date=NOW.date(),
        given={name: Given(Status.PASS, f"answer to {name}") for name in HUMAN},
        numbers={**EVERYTHING, **numbers},
    )


def a_tuned_job(**changes: Any) -> Job:
    values: dict[str, Any] = {
        "id": "7k2m9q4r8s1t",
        "token": "t" * 26,
        "provider": "local",
        "kind": "peft",
        "account": "account",
        "model": "tiny",
        "training": "a" * 64,
        "created_at": NOW - timedelta(hours=1),
        "updated_at": NOW,
        "status": JobStatus.SUCCEEDED,
        "tuned_model": "ft:tiny:triage:1",
        "sent_at": NOW - timedelta(minutes=30),
        "finished_at": NOW - timedelta(minutes=28),
        "trained_tokens": 31_780,
    }
    return Job(**{**values, **changes})


def difference(baseline: str, won: int, lost: int, **more: Any):
    new = [1.0] * won + [0.0] * lost + [1.0] * (ROWS - won - lost)
    old = [0.0] * won + [1.0] * lost + [1.0] * (ROWS - won - lost)
    pair = Pair(candidate="tuned", baseline=baseline, metric="exact", new=new, old=old, **more)
    return compare_scores(pair)


def a_comparison(
    won_lost: dict[str, tuple[int, int]] | None = None, text: str = "where is my refund?"
) -> Comparison:
    found = family([difference(name, *c) for name, c in (won_lost or WON_LOST).items()])
    slices = family(
        [
            difference("few-shot:8", 14, 0, slice="returns"),
            difference("few-shot:8", 9, 4, slice=text),
        ]
    )
    arms = [
        ArmResult(
            name=name,
            model="ft:tiny:triage:1" if name == "tuned" else "tiny",
            candidate=name == "tuned",
            n=ROWS,
            missing=0,
            metrics={"exact": right / ROWS, "token_f1": right / ROWS},
            intervals={"exact": list(wilson(right, ROWS)), "token_f1": [0.6, 0.9]},
            prompt_tokens=prompt,
            cached_tokens=0.0,
            completion_tokens=38.0,
            latency_p50=seconds,
            latency_p95=1.7 * seconds,
        )
        for name, right, prompt, seconds in ARMS
    ]
    decisive = next(d for d in found if d.baseline == "few-shot:8")
    return Comparison(
        id="cmp0147",
        job_id="7k2m9q4r8s1t",
        created_at=NOW.isoformat(),
        test="9f31c2" + "0" * 58,
        plan={"grader": "exact", "margin": None, "alpha": 0.05},
        plan_digest="7ac1" + "0" * 60,
        metric="exact",
        arms=arms,
        differences=found,
        verdict=decisive.verdict,
        best_baseline="few-shot:8",
        reason="tuned against few-shot:8, its best baseline.",
        slices=slices,
        examples=[
            RowPair(row=3, asked=text, reference="refund", candidate="a", baseline=text, won=False),
            RowPair(row=9, asked="pay", reference="billing", candidate="x", baseline="y", won=True),
        ],
        detectable=0.06,
        latencies={name: [s * (0.6 + 0.02 * i) for i in range(60)] for name, _, _, s in ARMS},
    )


def a_report(**changes: Any) -> Report:
    points = [MetricPoint(s, "train_loss", 2.2 / (1 + s / 8) + 0.3) for s in range(0, 61, 2)]
    points += [MetricPoint(s, "valid_loss", 2.3 / (1 + s / 8) + 0.36) for s in range(0, 61, 10)]
    values: dict[str, Any] = {
        "job": a_tuned_job(),
        "points": points,
        "data": DatasetFacts(
            digest="a" * 64,
            rows=1230,
            unique=1214,
            conflicting=7,
            labels={"billing": 600, "refund": 614},
            tokens=31_780,
        ),
        "comparison": a_comparison(),
        "answers": answered(),
        "checklist": default_checklist(),
        "prices": newest_prices(),
        "lifecycle": newest_lifecycle(),
        "now": NOW,
        "version": "0.1.0",
    }
    return build(Inputs(**{**values, **changes}))

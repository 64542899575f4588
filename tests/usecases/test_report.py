"""`ftctl compare` and `ftctl report` through the command line, over a real database."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import jsonschema
import pytest

from orchestrator.domain.chat import ChatAnswer, ChatRequest
from orchestrator.domain.comparing.sample import text_of
from orchestrator.domain.deciding.checklist import Status
from orchestrator.domain.errors import ProviderUnreachable, UsageError
from orchestrator.domain.jobs.job import Job, JobStatus, MetricPoint
from orchestrator.domain.provider import Provider
from orchestrator.resources import schema
from orchestrator.usecases.deciding.answers import read_answers, template
from orchestrator.usecases.deciding.report import dataset_facts
from orchestrator.usecases.jobs.dated import default_checklist
from tests.conftest import Ftctl
from tests.factories import a_dataset, a_job

LABELS = ("billing", "refund")


@dataclass
class Host:
    """A provider of which only the answers matter here."""

    right: dict[str, int] = field(default_factory=lambda: {"tiny": 55, "ft:tiny:x": 95})
    asked: int = 0
    down: bool = False

    def chat(self, request: ChatRequest) -> ChatAnswer:
        self.asked += 1
        if self.down:
            raise ProviderUnreachable
        number = int(text_of(request.messages[-1]).split()[1])
        right = number * 7919 % 100 < self.right[request.model]
        return ChatAnswer(
            text=LABELS[number % 2] if right else LABELS[(number + 1) % 2],
            finish_reason="stop",
            prompt_tokens=12 * len(request.messages),
            completion_tokens=2,
            latency=0.05,
        )

    def close(self) -> None:
        pass


def rows(path: Path, numbers: range) -> Path:
    path.write_text(
        "".join(
            json.dumps(
                {
                    "messages": [
                        {"role": "user", "content": f"ticket {n} please"},
                        {"role": "assistant", "content": LABELS[n % 2]},
                    ]
                }
            )
            + "\n"
            for n in numbers
        ),
        encoding="utf-8",
    )
    return path


@pytest.fixture
def host(ftctl: Ftctl) -> Host:
    made = Host()
    ftctl.build_provider = lambda profile: cast(Provider, made)
    return made


@pytest.fixture
def job(ftctl: Ftctl) -> Job:
    app = ftctl.app()
    training = rows(ftctl.home / "train.jsonl", range(1000, 1080))
    digest = hashlib.sha256(training.read_bytes()).hexdigest()
    app.datasets.keep(a_dataset(digest=digest, rows=80, tokens=4000), training)
    now = app.clock.now()
    made = a_job(
        provider="local",
        kind="peft",
        model="tiny",
        training=digest,
        status=JobStatus.SUCCEEDED,
        tuned_model="ft:tiny:x",
        sent_at=now - timedelta(seconds=90),
        finished_at=now,
        trained_tokens=12_000,
    )
    app.jobs.add(made)
    app.jobs.add_metrics(
        made.id, [MetricPoint(s, "train_loss", 2.0 / (1 + s)) for s in range(1, 20)]
    )
    app.close()
    return made


@pytest.fixture
def held_out(ftctl: Ftctl) -> Path:
    return rows(ftctl.home / "test.jsonl", range(200))


class TestCompare:
    def test_the_table_says_what_the_rows_say(self, ftctl: Ftctl, host: Host, job: Job, held_out):
        done = ftctl("compare", job.id[:6], "--test", held_out)
        assert done.code == 0
        assert "VERDICT  Improved" in done.out
        assert "tuned - few-shot:6" in done.out
        assert "200 rows find differences from 8.8 points" in done.err

    def test_json_is_what_its_schema_says(self, ftctl: Ftctl, host: Host, job: Job, held_out):
        done = ftctl("compare", job.id, "--test", held_out, "--json", "--margin", "3")
        jsonschema.validate(done.json, schema("compare.schema.json"))
        assert [arm["name"] for arm in done.json["arms"]] == ["base", "few-shot:6", "tuned"]
        assert done.json["plan"]["margin"] == 0.03

    def test_exit_codes_follow_the_verdict(self, ftctl: Ftctl, host: Host, job: Job, held_out):
        host.right = {"tiny": 95, "ft:tiny:x": 40}
        assert ftctl("compare", job.id, "--test", held_out).code == 1
        host.right = {"tiny": 90, "ft:tiny:x": 92}
        few = rows(ftctl.home / "few.jsonl", range(300, 340))
        assert ftctl("compare", job.id, "--test", few).code == 10

    def test_leaked_rows_are_left_out_and_said(self, ftctl: Ftctl, host: Host, job: Job):
        leaky = rows(ftctl.home / "leaky.jsonl", range(990, 1010))
        done = ftctl("compare", job.id, "--test", leaky)
        assert "10 test rows occur in training: left out" in done.err
        assert "10 rows, leak 10 left out" in done.out

    def test_a_dead_provider_is_try_later(self, ftctl: Ftctl, host: Host, job: Job, held_out):
        host.down = True
        done = ftctl("compare", job.id, "--test", held_out)
        assert done.code == 4
        assert "run the same command again" in done.err

    @pytest.mark.parametrize(
        ("arguments", "code"),
        [
            (["--test", "absent.jsonl"], 2),
            (["--test", "test.jsonl", "--margin", "200"], 2),
            (["--test", "test.jsonl", "--arm", "magic"], 2),
            (["--test", "test.jsonl", "--grader", "magic"], 2),
            (["--test", "train.jsonl"], 1),
        ],
    )
    def test_what_cannot_be_done_says_so(
        self, ftctl: Ftctl, host: Host, job: Job, held_out, arguments: list[str], code: int
    ):
        done = ftctl("compare", job.id, *arguments)
        assert (done.code, host.asked) == (code, 0)
        assert done.out == ""
        assert done.err


class TestReport:
    def test_without_a_comparison_it_works_and_says_what_to_type(self, ftctl: Ftctl, job: Job):
        done = ftctl("report", job.id, "--json")
        assert done.code == 10
        assert done.json["verdict"] == "GATHER_EVIDENCE"
        assert f"ftctl compare {job.id}" in json.dumps(done.json["actions"])
        jsonschema.validate(done.json, schema("report.schema.json"))

    def test_files_are_written_and_agree(self, ftctl: Ftctl, host: Host, job: Job, held_out):
        ftctl("compare", job.id, "--test", held_out)
        done = ftctl("report", job.id, "--out", "decision", "--json")
        folder = ftctl.home / "decision"
        assert json.loads((folder / "report.json").read_text(encoding="utf-8")) == done.json
        page = (folder / "report.html").read_text(encoding="utf-8")
        written = (folder / "report.md").read_text(encoding="utf-8")
        assert "Gather evidence" in page
        assert written.startswith("# Gather evidence")
        assert done.json["comparison"]["verdict"] == "Improved"

    def test_answers_turn_unknown_into_a_decision(
        self, ftctl: Ftctl, host: Host, job: Job, held_out
    ):
        arms = ("base", "few-shot:2", "few-shot:6", "tuned")
        ftctl("compare", job.id, "--test", held_out, *(a for n in arms for a in ("--arm", n)))
        answers = ftctl.home / "answers.toml"
        answers.write_text(FILLED, encoding="utf-8")
        done = ftctl("report", job.id, "--answers", answers)
        assert "->  GO" in done.out
        assert done.code == 0
        assert "Ada Example 2026-11-20" in done.out

    def test_the_newest_comparison_is_taken_unless_one_is_named(
        self, ftctl: Ftctl, host: Host, job: Job, held_out
    ):
        first = ftctl("compare", job.id, "--test", held_out, "--json").json["id"]
        ftctl.clock.sleep(60)
        second = ftctl("compare", job.id, "--test", held_out, "--json", "--limit", "50").json["id"]
        assert ftctl("report", job.id, "--json").json["comparison"]["id"] == second
        named = ftctl("report", job.id, "--json", "--comparison", first)
        assert named.json["comparison"]["id"] == first
        assert ftctl("report", job.id, "--comparison", "zzz").code == 2

    def test_costs_come_from_the_configuration_too(self, ftctl: Ftctl, job: Job):
        (ftctl.home / "ftctl.toml").write_text("[costs]\ngpu_hour = 0.8\n", encoding="utf-8")
        costs = ftctl("report", job.id, "--json").json["costs"]
        assert costs["training"]["usd"] == pytest.approx(90 / 3600 * 0.8)
        (ftctl.home / "ftctl.toml").write_text("[costs]\ngpu_ours = 1\n", encoding="utf-8")
        assert ftctl("report", job.id).code == 2

    def test_the_template_can_be_filled_in(self, ftctl: Ftctl, job: Job):
        done = ftctl("report", job.id, "--answers-template")
        path = ftctl.home / "answers.toml"
        path.write_text(done.out, encoding="utf-8")
        answers = read_answers(path, default_checklist())
        assert {given.status for given in answers.given.values()} == {Status.UNKNOWN}
        assert ftctl("report", job.id, "--answers", path).code == 10


class TestAnswers:
    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("name = ", "not valid TOML"),
            ('[answers."uc.magic"]\nstatus = "pass"', "no criterion"),
            ('[answers."uc.goal"]\nstatus = "maybe"', "must be one of"),
            ('[answers."uc.goal"]\nstatus = "pass"', "who and when"),
            ("[numbers]\nmagic = 1", "not asked for"),
            ('[numbers]\nerror_cost = "much"', "must be a number"),
            ("[numbers]\nerror_cost = -1", "not negative"),
            ("numbers = 1", "not a table"),
            ('date = "yesterday"', "must be a date"),
        ],
    )
    def test_what_makes_no_sense_is_refused(self, tmp_path: Path, text: str, problem: str):
        path = tmp_path / "answers.toml"
        path.write_text(text, encoding="utf-8")
        with pytest.raises(UsageError, match=problem):
            read_answers(path, default_checklist())

    def test_the_template_asks_every_human_question(self):
        checklist = default_checklist()
        text = template(checklist)
        assert all(c.ask in text for c in checklist.criteria if c.by == "human")
        assert all(name in text for name in checklist.numbers)


def test_repeated_and_conflicting_rows_are_counted(tmp_path: Path):
    def row(asked: str, answer: str) -> dict[str, Any]:
        return {
            "messages": [
                {"role": "user", "content": asked},
                {"role": "assistant", "content": answer},
            ]
        }

    path = tmp_path / "train.jsonl"
    data = [row("a", "x"), row("a", "x"), row("b", "x"), row("B ", "y"), row("c", "y")]
    path.write_text("".join(json.dumps(r) + "\n" for r in data), encoding="utf-8")
    found = dataset_facts(path, sha256="d", tokens=None)
    assert (found.rows, found.unique, found.conflicting) == (5, 4, 2)
    assert found.labels == {"x": 3, "y": 2}


FILLED = """
name = "Ada Example"
date = 2026-11-20
[answers."uc.goal"]
status = "pass"
note = "rules"
[answers."uc.stability"]
status = "pass"
[answers."uc.risk"]
status = "pass"
[answers."alt.rag"]
status = "n/a"
[numbers]
requests_per_month = 300000
error_cost = 0.12
effort_hours = 20
hourly_rate = 90
gpu_hour = 0.8
serving_gpus = 1
"""

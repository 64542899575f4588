"""A comparison over a real SQLite file and a chat host that counts."""

from __future__ import annotations

import dataclasses
import json
import threading
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import orchestrator.store.comparison_tables  # noqa: F401  registers its tables
from orchestrator.domain.chat import ChatAnswer, ChatRequest
from orchestrator.domain.clock import ManualClock
from orchestrator.domain.comparing.arm import Plan, Progress
from orchestrator.domain.comparing.comparison import Comparison, Word
from orchestrator.domain.comparing.sample import text_of
from orchestrator.domain.errors import (
    AnswerIsNo,
    DatasetInvalid,
    MissingCredentials,
    ProviderRejected,
    ProviderUnreachable,
    TryLater,
    UsageError,
)
from orchestrator.domain.jobs.job import Job, JobStatus
from orchestrator.store.comparisons import ComparisonStore
from orchestrator.store.database import connect
from orchestrator.store.metadata import metadata
from orchestrator.store.tables import dataset_rows, job_rows
from orchestrator.usecases.comparing.arms import ArmContext, make_arms
from orchestrator.usecases.comparing.compare import compare, expected_detectable, token_limit
from orchestrator.usecases.comparing.samples import read_samples, said, select
from orchestrator.usecases.comparing.shots import choose_shots

CLOCK = ManualClock()
JOB = Job(
    id="job1",
    token="t" * 26,
    provider="local",
    kind="peft",
    account="account",
    model="tiny",
    training="d" * 64,
    created_at=CLOCK.now(),
    updated_at=CLOCK.now(),
    status=JobStatus.SUCCEEDED,
    tuned_model="ft:tiny:x",
)
LABELS = ("billing", "refund", "login")


@dataclass
class Host:
    """Answers by rule and counts what it is asked."""

    right: dict[str, float] = field(default_factory=lambda: {"tiny": 0.3, "ft:tiny:x": 0.9})
    fail: dict[int, Exception] = field(default_factory=dict)
    stop_at: int | None = None
    hold_from: int | None = None
    held: threading.Event = field(default_factory=threading.Event)
    let_go: threading.Event = field(default_factory=threading.Event)
    asked: list[ChatRequest] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def chat(self, request: ChatRequest) -> ChatAnswer:
        with self.lock:
            self.asked.append(request)
            if self.stop_at is not None and len(self.asked) > self.stop_at:
                raise KeyboardInterrupt
            turn = len(self.asked)
        if self.hold_from is not None and turn >= self.hold_from - 1:
            self._hold(turn)
        question = text_of(request.messages[-1])
        number = int(question.split()[1])
        if number in self.fail:
            raise self.fail[number]
        share = self.right[request.model] + 0.2 * (len(request.messages) > 1)
        truth = LABELS[number % 3]
        text = truth if (number * 7919 % 100) / 100 < share else LABELS[(number + 1) % 3]
        return ChatAnswer(
            text=text,
            finish_reason="stop",
            prompt_tokens=10 * len(request.messages),
            completion_tokens=1,
            latency=0.01 * (1 + number % 10),
            raw={"id": str(number)},
        )

    def _hold(self, turn: int) -> None:
        """The call before the first that is held comes back only when that one is under way."""
        if turn == self.hold_from:
            self.held.set()
        event = self.held if turn < (self.hold_from or 0) else self.let_go
        assert event.wait(60)


def row(number: int, **more: Any) -> dict[str, Any]:
    return {
        "messages": [
            {"role": "user", "content": f"ticket {number} please"},
            {"role": "assistant", "content": LABELS[number % 3]},
        ],
        **more,
    }


def jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    return path


@pytest.fixture
def store(tmp_path: Path):
    engine = connect(f"sqlite:///{tmp_path / 'ftctl.db'}")
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(
            dataset_rows.insert().values(
                digest=JOB.training, bytes=1, rows=1, source="x", created_at=CLOCK.now()
            )
        )
        values = {
            c.name: getattr(JOB, c.name) for c in job_rows.columns if hasattr(JOB, c.name)
        } | {"hyperparameters": {}}
        connection.execute(job_rows.insert().values(**values))
    yield ComparisonStore(engine)
    engine.dispose()


@pytest.fixture
def training(tmp_path: Path):
    return read_samples(jsonl(tmp_path / "train.jsonl", [row(n) for n in range(1000, 1060)]))


def run(store: ComparisonStore, training, tmp_path: Path, host: Host, **changes: Any) -> Comparison:
    rows = changes.pop("rows", [row(n) for n in range(120)])
    arms = changes.pop("arms", ["base", "few-shot:6", "tuned"])
    chosen = select(read_samples(jsonl(tmp_path / "test.jsonl", rows)), training)
    context = ArmContext(job=JOB, training=training, samples=chosen.samples)
    progress = changes.pop("progress", None)
    plan = Plan(**{"max_tokens": 16, "concurrency": 4, **changes})
    return compare(
        JOB,
        chosen,
        make_arms(arms, context),
        chat=host,
        store=store,
        clock=CLOCK,
        plan=plan,
        progress=progress,
    )


class TestResult:
    def test_a_better_model_is_improved(self, store, training, tmp_path):
        found = run(store, training, tmp_path, Host())
        assert found.verdict is Word.IMPROVED
        assert found.best_baseline == "few-shot:6"
        assert found.arm("tuned").metrics["exact"] == pytest.approx(0.9, abs=0.05)
        assert set(found.arm("base").metrics) == {"exact", "token_f1", "macro_f1"}
        assert [d.baseline for d in found.differences] == ["base", "few-shot:6"]
        assert all(d.p <= d.p_holm for d in found.differences)
        assert all(d.low < d.diff < d.high for d in found.differences)

    def test_a_worse_model_is_degraded(self, store, training, tmp_path):
        host = Host(right={"tiny": 0.8, "ft:tiny:x": 0.2})
        assert run(store, training, tmp_path, host).verdict is Word.DEGRADED

    def test_equal_models_are_undecided_and_not_at_parity_on_few_rows(
        self, store, training, tmp_path
    ):
        host = Host(right={"tiny": 0.8, "ft:tiny:x": 0.8})
        found = run(store, training, tmp_path, host, arms=["base", "tuned"], margin=0.01)
        assert found.decisive.won == found.decisive.lost == 0
        assert found.verdict is Word.INCONCLUSIVE

    def test_equal_models_are_at_parity_when_the_margin_is_wide(self, store, training, tmp_path):
        host = Host(right={"tiny": 0.8, "ft:tiny:x": 0.8})
        found = run(store, training, tmp_path, host, arms=["base", "tuned"], margin=0.05)
        assert found.verdict is Word.PARITY
        assert found.decisive.parity is not None
        assert found.decisive.parity.equivalent

    def test_under_ten_rows_nothing_is_decided(self, store, training, tmp_path):
        found = run(store, training, tmp_path, Host(), rows=[row(n) for n in range(9)])
        assert found.verdict is Word.TOO_FEW

    def test_it_survives_the_store(self, store, training, tmp_path):
        found = run(store, training, tmp_path, Host())
        assert store.latest("job1") == store.find(found.id[:5])
        assert store.find(found.id).as_json() == found.as_json()

    def test_rows_won_and_lost_can_be_read(self, store, training, tmp_path):
        found = run(store, training, tmp_path, Host())
        won = [r for r in found.examples if r.won]
        assert won
        assert all(r.candidate == r.reference != r.baseline for r in won)

    def test_an_arm_that_misses_the_point_is_said(self, store, training, tmp_path):
        class Babbling(Host):
            def chat(self, request: ChatRequest) -> ChatAnswer:
                answer = super().chat(request)
                tuned = request.model == JOB.tuned_model
                return answer if tuned else dataclasses.replace(answer, text="lorem")

        found = run(store, training, tmp_path, Babbling(), arms=["base", "tuned"])
        assert [arm.outside for arm in found.arms] == [120, 0]
        assert found.arm("base").misses_the_point

    def test_slices_are_the_labels_of_a_label_task(self, store, training, tmp_path):
        found = run(store, training, tmp_path, Host())
        assert [s.slice for s in found.slices] == sorted(LABELS)
        assert sum(s.n for s in found.slices) == 120

    def test_the_same_arm_twice_asks_twice(self, store, training, tmp_path):
        host = Host()
        found = run(store, training, tmp_path, host, arms=["base", "base", "tuned"])
        assert [a.name for a in found.arms] == ["base", "base#2", "tuned"]
        assert len(host.asked) == 3 * 120

    def test_the_published_schema_describes_it(self, store, training, tmp_path):
        import jsonschema

        from orchestrator.resources import schema

        found = run(store, training, tmp_path, Host(), margin=0.03)
        jsonschema.validate(found.as_json(), schema("compare.schema.json"))


class TestEngine:
    def test_the_same_comparison_again_asks_nothing(self, store, training, tmp_path):
        first, again = Host(), Host()
        one = run(store, training, tmp_path, first)
        two = run(store, training, tmp_path, again)
        assert (len(first.asked), len(again.asked)) == (360, 0)
        assert one.id != two.id
        assert one.arms == two.arms
        assert one.differences == two.differences

    def test_an_interrupted_run_goes_on_and_repeats_no_call(self, store, training, tmp_path):
        first, second = Host(stop_at=100), Host()
        with pytest.raises(KeyboardInterrupt):
            run(store, training, tmp_path, first)
        found = run(store, training, tmp_path, second)
        assert len(second.asked) == 360 - 100
        assert not Counter(map(key, first.asked[:100])) & Counter(map(key, second.asked))
        assert store.answers(found.id, "tuned").keys() == set(range(1, 121))

    def test_ctrl_c_keeps_the_calls_under_way(self, store, training, tmp_path):
        first, second = Host(hold_from=78), Host()

        def interrupt(now: Progress) -> None:
            if now.done == 77:
                first.let_go.set()
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run(store, training, tmp_path, first, progress=interrupt)
        assert 78 <= len(first.asked) <= 77 + 4
        run(store, training, tmp_path, second)
        assert len(first.asked) + len(second.asked) == 360

    def test_a_few_missing_answers_are_counted_and_left_out(self, store, training, tmp_path):
        host = Host(fail={5: ProviderUnreachable()})
        found = run(store, training, tmp_path, host, max_missing=0.02)
        assert [a.missing for a in found.arms] == [1, 1, 1]
        assert [a.n for a in found.arms] == [119, 119, 119]

    def test_more_than_one_percent_missing_is_no_result(self, store, training, tmp_path):
        host = Host(fail={5: ProviderUnreachable(), 50: ProviderUnreachable()})
        with pytest.raises(TryLater, match=r"2 of 120 samples of the arm 'base'"):
            run(store, training, tmp_path, host)
        assert store.latest("job1") is None
        mended = Host()
        assert run(store, training, tmp_path, mended).arms[0].n == 120
        assert len(mended.asked) == 6

    def test_a_clear_no_is_not_a_zero_either(self, store, training, tmp_path):
        host = Host(fail={n: ProviderRejected("Too long.") for n in (1, 40, 90)})
        with pytest.raises(AnswerIsNo, match="Too long"):
            run(store, training, tmp_path, host)

    def test_a_dead_provider_is_not_asked_for_long(self, store, training, tmp_path):
        host = Host(fail={n: ProviderUnreachable() for n in range(120)})
        with pytest.raises(TryLater, match="12 times in a row"):
            run(store, training, tmp_path, host)
        assert len(host.asked) < 20

    def test_a_refused_key_ends_the_run_at_once(self, store, training, tmp_path):
        host = Host(fail={0: MissingCredentials()})
        with pytest.raises(MissingCredentials):
            run(store, training, tmp_path, host)

    def test_progress_counts_every_call(self, store, training, tmp_path):
        seen: list[Progress] = []
        chosen = select(read_samples(jsonl(tmp_path / "t.jsonl", [row(1), row(2)])), training)
        context = ArmContext(job=JOB, training=training, samples=chosen.samples)
        compare(
            JOB,
            chosen,
            make_arms(["base", "tuned"], context),
            chat=Host(),
            store=store,
            clock=CLOCK,
            plan=Plan(),
            progress=seen.append,
        )
        assert [p.done for p in seen] == [1, 2, 3, 4]
        assert seen[-1].total == 4

    def test_ungradable_references_end_without_a_result(self, store, training, tmp_path):
        with pytest.raises(AnswerIsNo, match="could not be graded"):
            run(store, training, tmp_path, Host(), grader="json-fields")


class TestSamples:
    def test_rows_that_training_has_are_left_out_and_counted(self, training, tmp_path):
        rows = [row(n) for n in range(998, 1003)]
        read = read_samples(jsonl(tmp_path / "test.jsonl", rows))
        chosen = select(read, training)
        assert (len(chosen.samples), chosen.leaked) == (2, 3)
        kept = select(read, training, allow_leakage=True)
        assert (len(kept.samples), kept.leaked, kept.leakage_allowed) == (5, 3, True)

    def test_only_leaked_rows_is_an_error(self, training, tmp_path):
        read = read_samples(jsonl(tmp_path / "test.jsonl", [row(1001)]))
        with pytest.raises(DatasetInvalid, match="occur in training"):
            select(read, training)

    def test_repeated_rows_count_once(self, training, tmp_path):
        read = read_samples(jsonl(tmp_path / "test.jsonl", [row(1), row(2), row(1)]))
        chosen = select(read, training)
        assert (len(chosen.samples), chosen.repeated) == (2, 1)

    def test_a_limit_draws_the_same_rows_for_the_same_seed(self, training, tmp_path):
        read = read_samples(jsonl(tmp_path / "test.jsonl", [row(n) for n in range(50)]))
        one, two, other = (select(read, training, limit=10, seed=s) for s in (1, 1, 2))
        assert [s.row for s in one.samples] == [s.row for s in two.samples]
        assert one.digest == two.digest != other.digest

    @pytest.mark.parametrize(
        ("line", "problem"),
        [
            ("{nope", "Line 2 .* is not JSON"),
            ("[]", "is not a JSON object"),
            ('{"prompt": "x"}', "has no chat messages"),
            ('{"messages": [{"role": "user", "content": "x"}]}', "does not end with an answer"),
            ('{"messages": ["x", "y"]}', "has no chat messages"),
        ],
    )
    def test_a_bad_row_is_named(self, tmp_path, line, problem):
        path = tmp_path / "test.jsonl"
        path.write_text(json.dumps(row(1)) + "\n" + line + "\n", encoding="utf-8")
        with pytest.raises(DatasetInvalid, match=problem):
            read_samples(path)

    def test_bytes_that_are_not_utf8_are_named(self, tmp_path):
        path = tmp_path / "test.jsonl"
        path.write_bytes(json.dumps(row(1)).encode() + b"\n\xff\xfe\n")
        with pytest.raises(DatasetInvalid, match="not UTF-8"):
            read_samples(path)

    def test_a_reference_can_be_a_tool_call(self, tmp_path):
        call = {"type": "function", "function": {"name": "f", "arguments": '{"b": 1, "a": 2}'}}
        read = read_samples(
            jsonl(
                tmp_path / "t.jsonl",
                [
                    {
                        "messages": [
                            {"role": "user", "content": "x"},
                            {"role": "assistant", "content": None, "tool_calls": [call]},
                        ]
                    }
                ],
            )
        )
        assert read[0].reference == '[{"arguments": {"a": 2, "b": 1}, "name": "f"}]'

    def test_slices_come_from_the_row_or_its_metadata(self, tmp_path):
        rows = [row(1, topic="a"), row(2, metadata={"topic": "b"}), row(3)]
        read = read_samples(jsonl(tmp_path / "t.jsonl", rows), slice_by="topic")
        assert [s.slice for s in read] == ["a", "b", None]


class TestArms:
    def test_shots_are_spread_over_the_answers_and_the_same_for_a_seed(self, training):
        shots = choose_shots(training, [], 6, seed=1)
        assert Counter(s.reference for s in shots) == dict.fromkeys(LABELS, 2)
        assert shots == choose_shots(training, [], 6, seed=1)
        assert shots != choose_shots(training, [], 6, seed=2)

    def test_no_shot_is_a_test_row(self, training):
        shots = choose_shots(training, training[:50], 6, seed=0)
        assert not {said(s) for s in shots} & {said(s) for s in training[:50]}

    def test_shots_stand_between_system_message_and_question(self, training, tmp_path):
        messages = [{"role": "system", "content": "be brief"}, *row(1)["messages"]]
        samples = read_samples(jsonl(tmp_path / "t.jsonl", [{"messages": messages}]))
        context = ArmContext(job=JOB, training=training, samples=samples)
        few = make_arms(["few-shot:2", "tuned"], context)[0]
        roles = [m["role"] for m in few.prompt(samples[0])]
        assert roles == ["system", "user", "assistant", "user", "assistant", "user"]
        assert "training rows" in few.note

    @pytest.mark.parametrize(
        ("names", "problem"),
        [
            (["base"], "needs the tuned model"),
            (["tuned"], "needs the tuned model"),
            (["magic", "tuned"], "no arm 'magic'"),
            (["few-shot", "tuned"], "how many examples"),
            (["few-shot:0", "tuned"], "how many examples"),
            (["few-shot:61", "tuned"], "needs 61 training rows"),
        ],
    )
    def test_arms_that_make_no_sense_are_refused(self, training, names, problem):
        with pytest.raises(UsageError, match=problem):
            make_arms(names, ArmContext(job=JOB, training=training, samples=[]))

    def test_an_unfinished_job_has_no_tuned_arm(self, training):
        running = dataclasses.replace(JOB, tuned_model=None, status=JobStatus.RUNNING)
        with pytest.raises(UsageError, match="it is running"):
            make_arms(["base", "tuned"], ArmContext(job=running, training=training, samples=[]))


def test_token_limit_covers_the_longest_reference():
    assert token_limit(["spam"]) == 18
    assert token_limit(["x" * 100_000]) == 4096


def test_what_the_rows_find_is_known_before_they_are_asked():
    assert expected_detectable(100) == pytest.approx(0.124, abs=0.001)
    assert expected_detectable(5) is None


def key(request: ChatRequest) -> str:
    return json.dumps([request.model, list(request.messages)], sort_keys=True)

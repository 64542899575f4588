"""Arms: how they are named, what they are made of, and that none of them sees a test row."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any, cast

import jsonschema
import pytest

from orchestrator.domain.chat import calls_text
from orchestrator.domain.comparing.retrieval import Passage
from orchestrator.domain.comparing.sample import Sample, text_of
from orchestrator.domain.errors import UsageError
from orchestrator.domain.jobs.job import Job
from orchestrator.domain.profile import Profile
from orchestrator.domain.provider import Provider
from orchestrator.resources import schema
from orchestrator.store.retrieval import Fts5Retriever
from orchestrator.usecases.comparing.arm_specs import Part, parse_arm
from orchestrator.usecases.comparing.classical import fit
from orchestrator.usecases.comparing.passages import holds, library, read_passages, with_passages
from orchestrator.usecases.comparing.shots import choose_count, split_for_choice
from orchestrator.usecases.jobs.dated import newest_lifecycle, newest_prices
from tests.conftest import Ftctl
from tests.usecases.comparing import LABELS, Host, row, tuned_job, write


def sample(number: int, text: str, answer: str = "x") -> Sample:
    return Sample(row=number, messages=[{"role": "user", "content": text}], reference=answer)


@pytest.fixture
def hosts(ftctl: Ftctl) -> dict[str, Host]:
    made = {
        "local": Host(),
        "openai": Host(
            right={"gpt-6-luna": 70, "gpt-4.1-mini": 60, "ft:gpt-4.1-mini:acme::x": 90},
            name="openai",
            kind="openai",
            account="account-2",
        ),
    }

    def build(profile: Profile) -> Provider:
        return cast(Provider, made[profile.name])

    ftctl.build_provider = build
    return made


@pytest.fixture
def job(ftctl: Ftctl) -> Job:
    return tuned_job(ftctl)


@pytest.fixture
def held_out(ftctl: Ftctl) -> Path:
    return write(ftctl.home / "test.jsonl", [row(n) for n in range(120)])


def arms(*names: str) -> list[str]:
    return [part for name in names for part in ("--arm", name)]


class TestNames:
    @pytest.mark.parametrize(
        ("name", "head", "argument", "parts", "profile", "model"),
        [
            ("base", "base", None, (), None, None),
            ("base:gpt-x", "base", "gpt-x", (), None, None),
            ("base@openai:gpt-6-luna", "base", None, (), "openai", "gpt-6-luna"),
            ("few-shot:8", "base", None, (Part("few-shot", "8"),), None, None),
            ("rag:a+b/docs", "base", None, (Part("rag", "a+b/docs"),), None, None),
            (
                "tuned+few-shot:4+rag:docs",
                "tuned",
                None,
                (Part("few-shot", "4"), Part("rag", "docs")),
                None,
                None,
            ),
            (
                "tuned@openai:ft:gpt-4.1-mini:acme::x",
                "tuned",
                None,
                (),
                "openai",
                "ft:gpt-4.1-mini:acme::x",
            ),
            ("recorded:old", "recorded", "old", (), None, None),
            ("again:few-shot:8", "again", "few-shot:8", (), None, None),
        ],
    )
    def test_every_part_is_found(self, name, head, argument, parts, profile, model):
        found = parse_arm(name)
        assert (found.head, found.argument, found.parts) == (head, argument, parts)
        assert (found.profile, found.model) == (profile, model)

    @pytest.mark.parametrize(
        "name", ["magic", "few-shot", "few-shot:many", "rag", "rag:", "recorded:x+few-shot:2"]
    )
    def test_what_is_no_arm_is_refused(self, name):
        with pytest.raises(UsageError):
            parse_arm(name)


class TestOtherProviders:
    def test_any_provider_stands_on_any_arm(self, ftctl, hosts, job, held_out):
        names = arms("base@openai:gpt-6-luna", "base@openai:ft:gpt-4.1-mini:acme::x", "tuned")
        done = ftctl("compare", job.id, "--test", held_out, *names, "--json")
        jsonschema.validate(done.json, schema("compare.schema.json"))
        assert [a["kind"] for a in done.json["arms"]] == ["openai", "openai", ""]
        assert {r.model for r in hosts["openai"].asked} == {"gpt-6-luna", "ft:gpt-4.1-mini:acme::x"}
        assert {r.model for r in hosts["local"].asked} == {"ft:tiny:x"}
        usd = [a["usd_per_1000"] for a in done.json["arms"]]
        assert usd[2] == 0
        assert usd[0] == pytest.approx(1000 * (12 * 0.1 + 2 * 0.5) / 1e6)

    def test_another_provider_needs_a_model(self, ftctl, hosts, job, held_out):
        done = ftctl("compare", job.id, "--test", held_out, *arms("base@openai", "tuned"))
        assert done.code == 2
        assert "which model" in done.err

    def test_an_unknown_profile_is_said(self, ftctl, hosts, job, held_out):
        done = ftctl("compare", job.id, "--test", held_out, *arms("base@nowhere:m", "tuned"))
        assert done.code == 3

    def test_successor_is_the_cheapest_base_that_stays(self, ftctl, hosts, job, held_out):
        done = ftctl(
            "compare", job.id, "--test", held_out, *arms("successor@openai", "tuned"), "--json"
        )
        assert done.json["arms"][0]["model"] == "gpt-6-luna"
        assert ftctl("compare", job.id, "--test", held_out, *arms("successor", "tuned")).code == 2

    def test_a_base_that_retires_soon_is_no_successor(self):
        book, lifecycle = newest_prices(), newest_lifecycle()
        assert book.cheapest_base("openai", lifecycle, date(2026, 11, 20)) == "gpt-6-luna"
        assert book.cheapest_base("nobody", lifecycle, date(2026, 11, 20)) is None


class TestFewShot:
    def test_the_smallest_count_within_one_error_of_the_best(self):
        def measure(count: int) -> list[float]:
            right = {0: 50, 2: 78, 4: 80, 8: 81, 16: 79}[count]
            return [1.0] * right + [0.0] * (100 - right)

        choice = choose_count((0, 2, 4, 8, 16), measure)
        assert choice.shots == 2
        assert "2 examples" in choice.note

    def test_rows_that_choose_are_training_rows_and_no_examples(self):
        training = [sample(n, f"row {n}") for n in range(100)]
        split = split_for_choice(training, training[:10], seed=1)
        rows = {s.row for s in split.dev}, {s.row for s in split.pool}
        assert len(split.dev) == 18
        assert not rows[0] & rows[1]
        assert not (rows[0] | rows[1]) & set(range(10))

    def test_auto_asks_training_rows_and_never_a_test_row(self, ftctl, hosts, job, held_out):
        hosts["local"].say = lambda r: LABELS[len(r.messages) % 2]
        done = ftctl(
            "compare", job.id, "--test", held_out, *arms("few-shot:auto", "tuned"), "--json"
        )
        assert "one-standard-error rule on 16 training rows" in done.json["arms"][0]["note"]
        tests = {f"ticket {n} please" for n in range(120)}
        shown = {text_of(m) for r in hosts["local"].asked for m in r.messages[:-1]}
        assert not shown & tests

    def test_tuned_takes_examples_too(self, ftctl, hosts, job, held_out):
        names = arms("base", "tuned+few-shot:2", "tuned")
        done = ftctl("compare", job.id, "--test", held_out, *names, "--json")
        assert [a["candidate"] for a in done.json["arms"]] == [False, True, True]
        assert {len(r.messages) for r in hosts["local"].asked} == {1, 5}


class TestRetrieval:
    def test_bm25_finds_what_is_asked(self):
        passages = [Passage("a", f"invoice number {n} is late") for n in range(200)]
        passages.append(Passage("b", "the zebra eats grass"))
        found = Fts5Retriever(passages).search("What does a zebra eat?", 3)
        assert found[0].source == "b"

    @pytest.mark.parametrize(
        "text",
        ['"', "a OR b", "NEAR(x y)", "text:x*", "(((", "", "-x ^y", "'; DROP TABLE passages"],
    )
    def test_no_question_is_ever_syntax(self, text):
        retriever = Fts5Retriever([Passage("a", "or near text x")])
        retriever.search(text, 2)
        assert len(retriever.search("near", 2)) == 1
        retriever.close()

    def test_passages_that_hold_the_test_row_are_left_out(self):
        asked = sample(3, "Why was my invoice of March charged twice?")
        leak = Passage("a", "FAQ: why was my  INVOICE of March charged twice? Because.")
        near = Passage("b", "why was my invoice of march charged twice")
        fair = Passage("c", "An invoice is charged once a month.")
        assert holds(leak, asked)
        assert holds(near, asked)
        assert not holds(fair, asked)
        found = library(Fts5Retriever([leak, near, fair]), [leak, near, fair], [asked], "docs")
        assert found.shown[3] == [fair]
        assert "2 that hold a test row left out" in found.note

    def test_passages_stand_before_the_question_in_its_own_turn(self):
        messages = [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}]
        shown = with_passages(messages, [Passage("a", "text of a")])
        assert [m["role"] for m in shown] == ["system", "user"]
        assert shown[1]["content"].endswith("q")
        assert "text of a" in shown[1]["content"]

    def test_folders_and_jsonl_are_read(self, tmp_path):
        (tmp_path / "a.md").write_text("# One\n\n" + "word " * 600, encoding="utf-8")
        write(tmp_path / "b.jsonl", [{"title": "T", "text": "body"}, row(1)])
        (tmp_path / "c.png").write_bytes(b"\x89PNG")
        found = read_passages(tmp_path)
        assert all(len(p.text) <= 1200 for p in found)
        assert {"T\nbody", "ticket 1 please\nrefund"} <= {p.text for p in found}
        with pytest.raises(UsageError, match="no passages"):
            read_passages(tmp_path / "nothing")

    def test_the_arm_asks_with_passages(self, ftctl, hosts, job, held_out):
        docs = ftctl.home / "docs"
        docs.mkdir()
        (docs / "a.md").write_text("A claim is a wish. Please.\n", encoding="utf-8")
        done = ftctl(
            "compare", job.id, "--test", held_out, *arms("base", "rag:docs", "tuned"), "--json"
        )
        assert done.json["arms"][1]["note"].startswith("best 5 of 1 passages of docs by BM25")
        asked = [text_of(r.messages[-1]) for r in hosts["local"].asked]
        assert sum("A claim is a wish. Please." in text for text in asked) == 120


class TestClassical:
    def test_it_learns_the_labels(self):
        rows = [sample(n, f"please pay the invoice {n}", "Billing") for n in range(30)]
        rows += [sample(n, f"give me my money back {n}", "refund") for n in range(30)]
        found = fit(rows)
        assert found.label("money back please") == "refund"
        assert found.spelled[found.label("the invoice")] == "Billing"
        assert fit(rows).weights == found.weights

    def test_texts_are_no_labels(self):
        with pytest.raises(UsageError, match="labels"):
            fit([sample(n, f"q {n}", f"a long answer of its own {n}") for n in range(20)])

    def test_it_stands_in_a_comparison_and_costs_nothing(self, ftctl, hosts, job, held_out):
        done = ftctl("compare", job.id, "--test", held_out, *arms("classical", "tuned"), "--json")
        arm = done.json["arms"][0]
        assert (arm["kind"], arm["usd_per_1000"]) == ("classical", 0)
        assert {r.model for r in hosts["local"].asked} == {"ft:tiny:x"}


class TestAgain:
    def test_the_second_asking_measures_the_noise(self, ftctl, hosts, job, held_out):
        done = ftctl(
            "compare", job.id, "--test", held_out, *arms("base", "again", "tuned"), "--json"
        )
        noise = done.json["noise"]
        assert (noise["arm"], noise["again"], noise["discordant"]) == ("base", "again:base", 0)
        assert [d["baseline"] for d in done.json["differences"]] == ["base"]
        assert len(hosts["local"].asked) == 3 * 120
        assert (
            "asked twice differs"
            in ftctl("compare", job.id, "--test", held_out, *arms("base", "again", "tuned")).out
        )

    def test_a_margin_below_the_noise_is_refused(self, ftctl, hosts, job, held_out):
        names = arms("base", "again", "tuned")
        done = ftctl("compare", job.id, "--test", held_out, *names, "--margin", "1", "--json")
        assert done.json["differences"][0]["parity"] is None
        hosts["local"].right["tiny"] = 95
        same = write(ftctl.home / "other.jsonl", [row(n) for n in range(200, 330)])
        done = ftctl("compare", job.id, "--test", same, *names, "--margin", "1", "--json")
        assert done.code == 10
        assert "below the noise" in done.json["reason"]

    def test_a_candidate_is_not_asked_again(self, ftctl, hosts, job, held_out):
        done = ftctl("compare", job.id, "--test", held_out, *arms("base", "tuned", "tuned"))
        assert done.code == 2


def test_a_version_of_an_adapter_is_no_profile():
    spec = parse_arm("tuned:tickets@v2")
    assert (spec.argument, spec.profile) == ("tickets@v2", None)
    hosted = parse_arm("tuned@local:tickets@v2")
    assert (hosted.profile, hosted.model) == ("local", "tickets@v2")
    assert parse_arm("base:tiny@gpu").profile == "gpu"


class TestCallingTools:
    OFFERED = [{"type": "function", "function": {"name": "refund"}}]

    def calling(self, number: int, **more: Any) -> dict[str, Any]:
        """A row that wants a call of a tool, or, every third one, none."""
        answer: dict[str, Any] = {"role": "assistant", "content": "Which one?"}
        if number % 3:
            function = {"name": "refund", "arguments": json.dumps({"ticket": number})}
            calls = [{"id": f"call_{number}", "type": "function", "function": function}]
            answer = {"role": "assistant", "tool_calls": calls}
        return row(number, messages=[row(number)["messages"][0], answer], tools=self.OFFERED)

    def test_rows_that_call_tools_are_graded_by_their_calls(self, ftctl: Ftctl, hosts):
        job = tuned_job(ftctl, [self.calling(n) for n in range(1000, 1080)])
        rows = write(ftctl.home / "calls.jsonl", [self.calling(n) for n in range(30)])
        hosts["local"].say = lambda request: (
            calls_text(
                self.calling(int(text_of(request.messages[-1]).split()[1]))["messages"][1].get(
                    "tool_calls"
                )
            )
            if request.model == "ft:tiny:x"
            else "I cannot."
        )
        found = ftctl("compare", job.id, "--test", rows, "--json")
        scores = {arm["name"]: arm["metrics"]["tool_calls"] for arm in found.json["arms"]}
        assert found.code == 0
        assert scores == pytest.approx({"base": 10 / 30, "few-shot:6": 10 / 30, "tuned": 1.0})
        assert ftctl("rows", job.id, "--won", "--json").json

    def test_examples_call_tools_as_the_api_wants_it(self, ftctl: Ftctl, hosts):
        job = tuned_job(ftctl, [self.calling(n) for n in range(1000, 1080)])
        rows = write(ftctl.home / "calls.jsonl", [self.calling(n) for n in range(3)])
        ftctl("compare", job.id, "--test", rows, *arms("few-shot:8", "tuned"))
        prompts = [r.messages for r in hosts["local"].asked if len(r.messages) > 8]
        whole = write(
            ftctl.home / "prompt.jsonl",
            [
                {
                    **self.calling(1),
                    "messages": [*prompts[0], {"role": "assistant", "content": "Which one?"}],
                }
            ],
        )
        assert ftctl("validate", whole, "--for", "peft").code == 0
        assert any(m.get("tool_calls") for m in prompts[0])

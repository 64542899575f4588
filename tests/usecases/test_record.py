"""Recordings: frozen once, resumed without a second call, and a source of parity later."""

from __future__ import annotations

import itertools
from pathlib import Path

import jsonschema
import pytest

from orchestrator.domain.jobs.job import Job
from orchestrator.resources import schema
from tests.conftest import Ftctl
from tests.usecases.comparing import Host, answered_by, elsewhere, row, write

OLD = "ft:gpt-4.1-mini:acme::x"


@pytest.fixture
def old(ftctl: Ftctl) -> Host:
    return answered_by(ftctl, Host(), elsewhere(right={OLD: 94}))["openai"]


@pytest.fixture
def held_out(ftctl: Ftctl) -> Path:
    return write(ftctl.home / "test.jsonl", [row(n) for n in range(300)])


def recorded(ftctl: Ftctl, test: Path, *more: str):
    where = ("--provider", "openai", "--test", str(test), "--name", "old")
    return ftctl("record", OLD, *where, "--json", *more)


def test_answers_tokens_and_times_are_frozen(ftctl: Ftctl, old: Host, held_out: Path):
    done = recorded(ftctl, held_out)
    jsonschema.validate(done.json, schema("record.schema.json"))
    assert (done.code, done.json["rows"], done.json["missing"]) == (0, 300, 0)
    assert done.json["spent"] == pytest.approx(300 * (12 * 0.8 + 2 * 3.2) / 1e6)
    assert "retires on 2027-01-14, in 55 days" in done.err
    listed = ftctl("recordings", "--json").json
    jsonschema.validate(listed, schema("recordings.schema.json"))
    assert [each["name"] for each in listed] == ["old"]
    assert "old" in ftctl("recordings").out


def test_the_same_command_again_pays_nothing(ftctl: Ftctl, old: Host, held_out: Path):
    recorded(ftctl, held_out)
    again = recorded(ftctl, held_out)
    assert (len(old.asked), again.json["asked"]) == (300, 0)


def test_a_name_stands_for_one_model_on_one_set(ftctl: Ftctl, old: Host, held_out: Path):
    recorded(ftctl, held_out)
    other = write(ftctl.home / "other.jsonl", [row(n) for n in range(20)])
    done = recorded(ftctl, other)
    assert done.code == 2
    assert "choose another --name" in done.err


def test_parity_with_a_recording_after_the_source_is_gone(
    ftctl: Ftctl, old: Host, job: Job, held_out: Path
):
    recorded(ftctl, held_out)
    asked = len(old.asked)
    done = ftctl(
        "compare", job.id, "--test", held_out, "--arm", "base", "--arm", "tuned",
        "--source", "recorded:old", "--margin", "5", "--json",
    )  # fmt: skip
    jsonschema.validate(done.json, schema("compare.schema.json"))
    assert len(old.asked) == asked
    assert (done.json["source"], done.json["verdict"], done.code) == ("recorded:old", "Parity", 0)
    assert done.json["best_baseline"] == "base"
    parity = {d["baseline"]: d["parity"] for d in done.json["differences"]}
    assert parity["base"] is None
    assert parity["recorded:old"]["margin"] == 0.05
    arm = next(a for a in done.json["arms"] if a["name"] == "recorded:old")
    assert (arm["model"], arm["latency_p50"]) == (OLD, 0.05)
    assert arm["usd_per_1000"] == pytest.approx(1000 * (12 * 0.8 + 2 * 3.2) / 1e6)


def test_the_migration_stage_decides_by_parity(ftctl: Ftctl, old: Host, job: Job, held_out: Path):
    recorded(ftctl, held_out)
    source = ("--source", "recorded:old", "--arm", "base", "--arm", "tuned")
    ftctl("compare", job.id, "--test", held_out, *source, "--margin", "5")
    plain = ftctl("report", job.id, "--stage", "migrate", "--json").json
    jsonschema.validate(plain, schema("report.schema.json"))
    status = {c["id"]: c["status"] for c in plain["criteria"]}
    assert (status["mig.parity"], status["mig.recorded"], status["mig.gold"]) == ("pass",) * 3
    assert "ben.quality" not in status
    assert plain["stage"] == "migrate"


def test_a_margin_set_after_the_result_proves_nothing(
    ftctl: Ftctl, old: Host, job: Job, held_out: Path
):
    recorded(ftctl, held_out)
    source = ("--source", "recorded:old", "--arm", "base", "--arm", "tuned")
    first = ftctl("compare", job.id, "--test", held_out, *source, "--margin", "1", "--json")
    ftctl.clock.sleep(60)
    wider = ftctl("compare", job.id, "--test", held_out, *source, "--margin", "5", "--json")
    assert (first.json["margin_after"], wider.json["margin_after"]) == (None, first.json["id"])
    plain = ftctl("report", job.id, "--stage", "migrate", "--json").json
    found = next(c for c in plain["criteria"] if c["id"] == "mig.parity")
    assert found["status"] == "unknown"
    assert "before this margin was set" in found["evidence"]


def test_a_result_without_the_source_gives_nothing_away(
    ftctl: Ftctl, old: Host, job: Job, held_out: Path
):
    ftctl("compare", job.id, "--test", held_out)
    recorded(ftctl, held_out)
    source = ("--source", "recorded:old", "--arm", "base", "--arm", "tuned")
    done = ftctl("compare", job.id, "--test", held_out, *source, "--margin", "5", "--json")
    assert done.json["margin_after"] is None


def test_a_recording_of_other_rows_is_refused(ftctl: Ftctl, old: Host, job: Job, held_out: Path):
    recorded(ftctl, write(ftctl.home / "other.jsonl", [row(n) for n in range(500, 540)]))
    done = ftctl("compare", job.id, "--test", held_out, "--arm", "recorded:old", "--arm", "tuned")
    assert done.code == 2
    assert "another test file" in done.err
    assert (
        ftctl("compare", job.id, "--test", held_out, "--arm", "recorded:no", "--arm", "tuned").code
        == 2
    )


def test_a_source_needs_a_margin(ftctl: Ftctl, old: Host, job: Job, held_out: Path):
    done = ftctl("compare", job.id, "--test", held_out, "--source", "base")
    assert done.code == 2
    assert "needs a margin" in done.err


def test_repeats_show_how_much_the_source_differs_from_itself(
    ftctl: Ftctl, old: Host, held_out: Path
):
    asked = itertools.count()
    # Every seventh answer is another one, whatever is asked: rows differ from themselves.
    old.say = lambda request: "other" if next(asked) % 7 == 0 else old._label(request)
    made = ftctl(
        "record", OLD, "--provider", "openai", "--test", held_out,
        "--name", "twice", "--repeats", "3", "--temperature", "1", "--concurrency", "1", "--json",
    )  # fmt: skip
    assert (made.code, made.json["repeats"], made.json["temperature"]) == (0, 3, 1)
    count = len(old.asked)
    arms = ["--arm", "recorded:twice", "--arm", "again:recorded:twice"]
    again = ftctl(
        "compare", "--test", held_out, *arms, "--arm", f"model:openai/{OLD}",
        "--json",
    ).json  # fmt: skip
    assert again["noise"]["again"] == "again:recorded:twice"
    assert again["noise"]["discordant"] > 0.2
    assert len(old.asked) == count + len(held_out.read_text().splitlines())
    twice = ["--repeats", "2", "--temperature", "1"]
    repeated = ftctl(
        "compare", "--test", held_out, "--arm", "recorded:twice",
        "--arm", f"model:openai/{OLD}", *twice, "--json",
    ).json  # fmt: skip
    assert (repeated["noise"]["arm"], repeated["noise"]["again"]) == (
        "recorded:twice",
        "its repeats",
    )
    assert 0 < repeated["noise"]["high"] < 0.2
    four = ftctl(
        "compare", "--test", held_out, "--arm", "recorded:twice",
        "--arm", f"model:openai/{OLD}", "--repeats", "4", "--temperature", "1",
    )  # fmt: skip
    assert four.code != 0
    assert "3 times only" in four.err

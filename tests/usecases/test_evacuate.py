"""The plan out: what it says today, four days before the end, and after it."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from orchestrator.domain.archive import ArchivedFile, FileState, Purpose
from orchestrator.domain.clock import ManualClock
from orchestrator.domain.comparing.answerbook import Recording
from orchestrator.domain.jobs.job import JobStatus, Origin
from orchestrator.domain.jobs.move import Move, ParityPlan
from orchestrator.resources import schema
from tests.conftest import Ftctl
from tests.factories import a_dataset, a_job, chat_file

GOLDEN = Path(__file__).parents[1] / "data" / "golden"
NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
MINI, FOUR, NANO = (
    "gpt-4.1-mini-2025-04-14", "gpt-4.1-2025-04-14", "gpt-4.1-nano-2025-04-14",
)  # fmt: skip


def tuned(ftctl: Ftctl, name: str, model: str, **changes: Any) -> str:
    """A job of that account that has ended well."""
    app = ftctl.app()
    values = {
        "id": name * 12,
        "token": name * 32,
        "model": model,
        "status": JobStatus.SUCCEEDED,
        "remote_id": f"ftjob-{name}",
        "tuned_model": f"ft:{model}:acme::{name}",
        "training": None,
        "created_at": NOW,
        "updated_at": NOW,
    }
    app.jobs.add(a_job(**{**values, **changes}))
    app.close()
    return name * 12


def kept(ftctl: Ftctl, label: str, rows: int) -> str:
    """Rows in the store; their digest."""
    path = chat_file(ftctl.home / f"{label}.jsonl", rows, label)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    app = ftctl.app()
    app.datasets.keep(a_dataset(digest=digest, rows=rows), path)
    app.close()
    return digest


@pytest.fixture
def office(ftctl: Ftctl) -> Ftctl:
    """Five tuned models in five conditions."""
    ftctl.clock = ManualClock(NOW)
    rows, held_out = kept(ftctl, "train", 300), kept(ftctl, "valid", 150)
    adopted = Origin.ADOPTED
    tuned(ftctl, "a", MINI, training=rows, validation=held_out, origin=adopted)
    tuned(ftctl, "b", FOUR, training=rows)
    tuned(ftctl, "c", MINI, training_file="file-c", origin=adopted)
    tuned(ftctl, "d", NANO, training=rows)
    tuned(
        ftctl, "e", "gpt-4o-2024-08-06", training=rows, provider="azure", kind="azure",
        tuned_model="gpt-4o-2024-08-06.ft-0123456789abcdef-acme",
    )  # fmt: skip
    tuned(ftctl, "f", "tiny", training=rows, provider="local", kind="peft")
    app = ftctl.app()
    app.archive.put(
        ArchivedFile(
            account="account-1", remote_id="file-c", purpose=Purpose.TRAINING, name="c.jsonl",
            state=FileState.GONE, at=NOW,
        )
    )  # fmt: skip
    app.close()
    return ftctl


def recorded(ftctl: Ftctl, model: str, name: str) -> None:
    app = ftctl.app()
    recording = Recording(
        name=name, provider="openai", kind="openai", account="account-1", model=model,
        test="e" * 64, rows=500, missing=0, created_at=NOW, max_tokens=64, test_file="/kept/b.jsonl",
    )  # fmt: skip
    app.recordings.open(recording)
    app.recordings.close(name, 500, 0)
    app.close()


def steps(plan: Any, job: str) -> dict[str, Any]:
    found = next(each for each in plan["models"] if each["job"] == job)
    return {step["name"]: step for step in found["steps"]}


def planned(ftctl: Ftctl, *more: str) -> Any:
    done = ftctl("evacuate", "--json", *more)
    assert done.code == 0, done.err
    jsonschema.validate(done.json, schema("evacuate.schema.json"))
    return done.json


@pytest.mark.parametrize("day", ["2026-11-20", "2027-01-10"])
def test_the_plan_of_a_day_is_as_it_was_written_down(office: Ftctl, day: str):
    recorded(office, f"ft:{FOUR}:acme::b", "kept-b")
    page = office.home / "plan.md"
    assert office("evacuate", "--date", day, "--markdown", page).code == 0
    written = page.read_text().replace(str(office.home), "HOME")
    golden = GOLDEN / f"evacuate-{day}.md"
    assert written == golden.read_text(encoding="utf-8")


def test_those_that_stop_first_come_first(office: Ftctl):
    plan = planned(office)
    assert plan["date"] == "2026-11-20"
    assert [(each["job"][0], each["days_left"]) for each in plan["models"]] == [
        ("d", -28), ("b", 55), ("a", 55), ("c", 55), ("e", 315), ("f", None),
    ]  # fmt: skip
    assert plan["models"][-1]["steps"] == []
    assert plan["models"][1]["source"].startswith("file: ")


def test_in_november_everything_can_still_be_done(office: Ftctl):
    found = steps(planned(office), "a" * 12)
    states = {name: step["state"] for name, step in found.items()}
    assert states == {
        "data": "done", "test set": "done", "record": "due", "retrain": "due", "parity": "due",
        "switch": "due", "delete": "due",
    }  # fmt: skip
    assert found["record"]["latest"] == "2027-01-13"
    assert f"--name old-{'a' * 8}" in found["record"]["command"]
    assert found["retrain"]["command"].startswith(
        f"ftctl migrate {'a' * 12} --to azure --model {MINI} --test "
    )
    # Azure trains until April; but the old model answers until January, and must not be missed.
    assert [found[name]["latest"] for name in ("retrain", "parity", "switch")] == [
        "2027-01-12", "2027-01-13", "2027-01-13",
    ]  # fmt: skip


def test_after_the_cut_off_only_recording_and_moving_elsewhere_remain(office: Ftctl):
    plan = planned(office, "--date", "2027-01-10")
    model = next(each for each in plan["models"] if each["job"][0] == "a")
    assert (model["days_left"], model["training_ends"]) == (4, "2027-01-06")
    assert {route["profile"] for route in model["routes"]} == {"azure", "local"}
    assert steps(plan, "a" * 12)["record"]["latest"] == "2027-01-13"


def test_what_comes_too_late_for_a_switch_without_a_gap_is_called_late(office: Ftctl):
    found = steps(planned(office, "--date", "2027-01-13"), "a" * 12)
    states = {name: found[name]["state"] for name in ("record", "retrain", "parity", "switch")}
    assert states == {"record": "due", "retrain": "late", "parity": "due", "switch": "due"}


def test_after_the_end_nothing_can_be_recorded(office: Ftctl):
    plan = planned(office, "--date", "2027-01-14")
    found = steps(plan, "a" * 12)
    assert (found["record"]["state"], found["parity"]["state"]) == ("closed", "closed")
    assert found["retrain"]["state"] == "due"


def test_lost_data_and_no_test_set_are_said_aloud(office: Ftctl):
    plan = planned(office)
    lost = steps(plan, "c" * 12)
    assert (lost["data"]["state"], lost["retrain"]["state"]) == ("closed", "closed")
    assert "file-c is gone" in lost["data"]["what"]
    bare = steps(plan, "b" * 12)
    assert bare["test set"]["what"].startswith("NO TEST SET")
    assert bare["test set"]["command"].startswith("ftctl split ")


def test_a_recording_and_a_move_are_counted_as_done(office: Ftctl):
    source = "b" * 12
    recorded(office, f"ft:{FOUR}:acme::b", "kept-b")
    app = office.app()
    made = a_job(
        id="new1new1new1", provider="local", kind="peft", model="smollm2",
        training=app.jobs.get(source).training, status=JobStatus.RUNNING,
    )  # fmt: skip
    parity = ParityPlan(margin=0.03, recording="kept-b", test="e" * 64, test_file="t.jsonl")
    move = Move(
        job_id=made.id, source_id=source, recipe={"lines": []}, parity=parity, created_at=NOW
    )
    app.jobs.add(made, move=move)
    assert app.moves.of(made.id) == move
    app.close()
    found = steps(planned(office), source)
    assert (found["record"]["state"], found["retrain"]["state"]) == ("done", "under way")
    assert found["parity"]["command"] == (
        "ftctl compare new1new1new1 --test t.jsonl --arm base --arm tuned"
        " --source recorded:kept-b --margin 3"
    )


def test_only_one_profile_if_it_is_named(office: Ftctl):
    assert [each["provider"] for each in planned(office, "--provider", "azure")["models"]] == [
        "azure"
    ]
    assert office("evacuate", "--provider", "nowhere").code == 3


def test_a_person_reads_a_table_and_steps(office: Ftctl):
    shown = office("evacuate").out
    assert "NO TEST SET" in shown
    assert "ftctl record ft:gpt-4.1-mini-2025-04-14:acme::a --provider openai" in shown
    assert "stops answering on 2027-01-14, in 55 days" in shown


def test_nothing_known_is_nothing_planned(ftctl: Ftctl):
    done = ftctl("evacuate")
    assert done.code == 0
    assert "ftctl adopt" in done.err
    assert planned(ftctl, "--date", "2027-01-10") == {"date": "2027-01-10", "models": []}


def test_a_date_that_is_none_is_refused(ftctl: Ftctl):
    assert ftctl("evacuate", "--date", "soon").code == 2

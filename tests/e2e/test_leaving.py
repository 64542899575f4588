"""The whole way out on real parts: adopt, plan, record, train anew on this machine, show parity."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from orchestrator import resources
from orchestrator.datasets.demo_tasks import TASKS
from orchestrator.domain.clock import SystemClock
from orchestrator.domain.jobs.dataset import Split
from tests.conftest import Ftctl
from tests.usecases.account import Account, an_account

pytest.importorskip("ftctl_worker")


@pytest.fixture
def account(ftctl: Ftctl, tmp_path: Path) -> Iterator[Account]:
    ftctl.clock = SystemClock()
    with an_account(ftctl, tmp_path) as made:
        yield made


def first(path: Path, rows: int) -> str:
    return "".join(path.read_text(encoding="utf-8").splitlines(keepends=True)[:rows])


def test_from_an_account_of_others_to_parity_on_this_machine(
    ftctl: Ftctl, account: Account, tmp_path: Path
):
    files = TASKS["tickets"].write(tmp_path / "task", seed=3)
    with account.memory.change() as state:
        state["files"][account.files[0]]["content"] = first(files[Split.TRAIN], 48)
    remote = account.add()
    test = tmp_path / "test.jsonl"
    test.write_text(first(files[Split.TEST], 14), encoding="utf-8")

    assert ftctl("adopt", "--provider", "openai", "--json").json["adopted"] == 1
    job = ftctl("status", remote, "--json").json
    (plan,) = ftctl("evacuate", "--date", "2026-11-20", "--json").json["models"]
    assert (plan["job"], plan["serving_ends"]) == (job["id"], "2027-01-14")
    assert {route["profile"] for route in plan["routes"]} >= {"azure", "local"}

    recorded = ftctl(
        "record", job["tuned_model"], "--provider", "openai", "--test", test, "--name", "old"
    )
    assert recorded.code == 0, recorded.err
    moved = ftctl(
        "migrate", job["id"], "--to", "local", "--model", "tiny", "--wait", "--margin", "5",
        "--json",
    )  # fmt: skip
    assert moved.code == 0, moved.err
    Draft202012Validator(resources.schema("migrate.schema.json")).validate(moved.json)
    assert moved.json["status"] == "succeeded"
    assert moved.json["parity"]["command"].startswith(f"ftctl compare {moved.json['id']} ")

    command = ftctl("status", moved.json["id"], "--json").json["next"].split()
    assert command[0] == "ftctl"
    compared = ftctl(*command[1:], "--json")
    result = compared.json
    Draft202012Validator(resources.schema("compare.schema.json")).validate(result)
    assert "the margin is the one that was fixed before" in compared.err
    assert (result["source"], result["margin_after"]) == ("recorded:old", None)
    decisive = next(d for d in result["differences"] if d["baseline"] == "recorded:old")
    assert decisive["parity"]["margin"] == 0.05
    # The simulated source only shouts its question back: any model that learned is not worse.
    assert compared.code == 0, json.dumps(decisive)
    (after,) = ftctl("evacuate", "--provider", "openai", "--json").json["models"]
    states = {step["name"]: step["state"] for step in after["steps"]}
    assert (states["record"], states["retrain"], states["parity"]) == ("done", "done", "done")

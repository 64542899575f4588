"""Moving a job: its data, its recipe, its proof; once, whatever is typed twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from orchestrator.resources import schema
from providers.simulator import Simulator
from tests.conftest import Ftctl
from tests.factories import chat_rows
from tests.usecases.account import KEY, Account, an_account, whole_database

AZURE_MODEL = "gpt-4.1-mini-2025-04-14"


@pytest.fixture
def account(ftctl: Ftctl, tmp_path: Path) -> Iterator[Account]:
    """An account at OpenAI, a resource at Azure, and a worker, all simulated."""
    with (
        an_account(ftctl, tmp_path) as made,
        Simulator("azure") as azure,
        Simulator("worker") as worker,
    ):
        ftctl.environment["KEY"] = KEY
        with (ftctl.home / "ftctl.toml").open("a") as config:
            for name, kind, host in (("azure", "azure", azure), ("box", "peft", worker)):
                config.write(
                    f'[providers.{name}]\nkind = "{kind}"\nbase_url = "{host.url}"\n'
                    'api_key_env = "KEY"\ntimeout = 5\n'
                )
        made.others = {"azure": azure, "box": worker}
        yield made


@pytest.fixture
def source(ftctl: Ftctl, account: Account) -> str:
    """An adopted job that succeeded."""
    remote = account.add()
    assert ftctl("adopt", "--provider", "openai").code == 0
    return str(ftctl("status", remote, "--json").json["id"])


def migrated(ftctl: Ftctl, source: str, *more: str | Path, code: int = 0) -> Any:
    to = () if "--to" in more else ("--to", "azure", "--model", AZURE_MODEL)
    done = ftctl("migrate", source, *to, "--json", *more)
    assert done.code == code, done.err
    jsonschema.validate(done.json, schema("migrate.schema.json"))
    return done.json


def lines(found: Any) -> dict[str, tuple[str | None, str | None, str]]:
    return {line["name"]: (line["old"], line["new"], line["how"]) for line in found["lines"]}


def test_the_same_base_elsewhere_keeps_the_recipe(ftctl: Ftctl, account: Account, source: str):
    found = migrated(ftctl, source)
    told = lines(found)
    assert told["base model"] == (AZURE_MODEL, AZURE_MODEL, "kept")
    assert told["epochs"] == ("2", "2", "kept")
    assert told["learning rate"] == ("x 1.8", "x 1.8", "kept")
    assert told["seed"] == ("3", "3", "kept")
    assert told["training data"] == ("24 rows", "24 rows", "kept")
    app = ftctl.app()
    old, new = app.jobs.get(source), app.jobs.get(found["id"])
    assert (new.training, new.provider, new.seed) == (old.training, "azure", 3)
    assert new.hyperparameters.learning_rate_multiplier == 1.8
    move = app.moves.of(new.id)
    assert move is not None
    assert (move.source_id, move.parity.margin) == (source, 0.03)
    assert move.recipe["from"]["rate"] == {"value": 1.8, "meaning": "UNPUBLISHED"}
    app.close()
    assert len(account.others["azure"].ledger) == 1


def test_a_worker_chooses_its_own_rate(ftctl: Ftctl, account: Account, source: str):
    told = lines(migrated(ftctl, source, "--to", "box", "--model", "smollm2"))
    assert told["base model"] == (AZURE_MODEL, "smollm2", "translated")
    assert told["learning rate"] == ("x 1.8", None, "left to the target")
    assert told["epochs"] == ("2", "2", "kept")
    (made,) = account.others["box"].ledger
    with account.others["box"]._memory.change() as state:
        assert state["jobs"][made["job"]]["hyperparameters"] == {"n_epochs": 2}


def test_the_same_command_again_makes_no_second_job(ftctl: Ftctl, account: Account, source: str):
    first = migrated(ftctl, source)
    second = migrated(ftctl, source)
    assert (first["found"], second["found"], second["id"]) == (False, True, first["id"])
    assert second["parity"]["digest"] == first["parity"]["digest"]
    # Days later, too: it is the move that is known again, not the hour.
    ftctl.clock.sleep(3 * 86400)
    assert migrated(ftctl, source)["id"] == first["id"]
    assert len(account.others["azure"].ledger) == 1
    assert migrated(ftctl, source, "--again")["id"] != first["id"]


def test_an_intent_that_was_never_sent_is_taken_up(ftctl: Ftctl, account: Account, source: str):
    account.others["azure"].order_fault("upload_file", "error_500", times=9)
    stopped = ftctl("migrate", source, "--to", "azure", "--model", AZURE_MODEL)
    assert stopped.code == 4
    with account.others["azure"]._memory.change() as state:
        state["faults"].clear()
    found = migrated(ftctl, source)
    assert found["found"] is True
    assert found["status"] == "queued"
    assert len(account.others["azure"].ledger) == 1


def test_a_dry_run_sends_and_writes_nothing(ftctl: Ftctl, account: Account, source: str):
    before = whole_database(ftctl)
    found = migrated(ftctl, source, "--dry-run")
    assert (found["id"], found["status"]) == (None, "dry-run")
    assert found["estimate"]["rows"] == 24
    assert whole_database(ftctl) == before
    assert account.others["azure"].ledger == []
    shown = ftctl("migrate", source, "--to", "azure", "--model", AZURE_MODEL, "--dry-run").err
    assert "learning rate" in shown
    assert "no recording of ft:gpt-4.1-mini" in shown
    assert "ftctl record ft:gpt-4.1-mini" in shown


def test_rows_of_the_test_set_are_not_trained_on(
    ftctl: Ftctl, account: Account, source: str, tmp_path: Path
):
    test = tmp_path / "test.jsonl"
    rows = chat_rows(24, "first")[:9]
    test.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = migrated(ftctl, source, "--test", test)
    held_out = [line for line in found["lines"] if line["name"] == "training data"]
    assert [(line["old"], line["why"]) for line in held_out] == [
        ("24 rows", "without what is left out"),
        ("9 rows", "left out: held out: they are in the test set"),
    ]
    app = ftctl.app()
    assert app.datasets.get(app.jobs.get(found["id"]).data).rows == 15
    app.close()


def test_what_the_target_cannot_hold_is_named_and_refused(
    ftctl: Ftctl, account: Account, tmp_path: Path
):
    rows = chat_rows(20)
    picture = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    rows[4]["messages"][0]["content"] = [{"type": "text", "text": "what is it?"}, picture]
    content = "".join(json.dumps(row) + "\n" for row in rows)
    with account.memory.change() as state:
        state["files"][account.files[0]]["content"] = content
    remote = account.add()
    ftctl("adopt", "--provider", "openai")
    refused = ftctl("migrate", remote, "--to", "box", "--model", "smollm2")
    assert refused.code == 1
    assert "line 5" in refused.err
    assert "--allow-loss" in refused.err
    assert account.others["box"].ledger == []
    found = migrated(ftctl, remote, "--to", "box", "--model", "smollm2", "--allow-loss")
    _, line = [each for each in found["lines"] if each["name"] == "training data"]
    assert line["old"] == "1 row"
    assert "image" in line["why"]


def recorded(ftctl: Ftctl, tmp_path: Path, source: str, name: str = "old") -> Path:
    test = tmp_path / "held-out.jsonl"
    rows = [
        {"messages": [{"role": "user", "content": f"new {n}"},
                      {"role": "assistant", "content": f"NEW {n}"}]}
        for n in range(20)
    ]  # fmt: skip
    test.write_text("".join(json.dumps(row) + "\n" for row in rows))
    model = ftctl("status", source, "--json").json["tuned_model"]
    done = ftctl("record", model, "--provider", "openai", "--test", test, "--name", name)
    assert done.code == 0, done.err
    return test


def test_the_comparison_is_fixed_before_there_is_a_result(
    ftctl: Ftctl, account: Account, source: str, tmp_path: Path
):
    test = recorded(ftctl, tmp_path, source)
    found = migrated(ftctl, source, "--margin", "5")
    parity = found["parity"]
    assert (parity["recording"], parity["margin"]) == ("old", 0.05)
    assert parity["command"] == (
        f"ftctl compare {found['id']} --test {test} --arm base --arm tuned"
        " --source recorded:old --margin 5"
    )
    for _ in range(8):
        ftctl.clock.sleep(61)
        ftctl("sync", "--all")
    page = ftctl("status", found["id"])
    assert f"in place of     job {source}; margin 5 points ({parity['digest'][:12]})" in page.out
    assert f"next: {parity['command']}" in page.out
    status = ftctl("status", found["id"], "--json").json
    jsonschema.validate(status, schema("status.schema.json"))
    assert (status["migrated_from"], status["next"]) == (source, parity["command"])


def test_another_margin_than_the_fixed_one_is_said_aloud(
    ftctl: Ftctl, account: Account, source: str, tmp_path: Path
):
    recorded(ftctl, tmp_path, source)
    found = migrated(ftctl, source, "--to", "box", "--model", "smollm2", "--margin", "5")
    account.others["box"].advance(9)
    ftctl("sync", "--all")
    command = found["parity"]["command"].split()[1:]
    as_fixed = ftctl(*command)
    assert "the margin is the one that was fixed before: 5 points" in as_fixed.err
    wider = ftctl(*command[:-1], "9")
    assert "WARNING: the margin of this move was fixed at 5 points" in wider.err
    shown = ftctl("evacuate", "--provider", "openai").out
    assert f"job {found['id']} at box: succeeded" in shown


def test_a_recording_made_later_takes_its_place_in_the_command(
    ftctl: Ftctl, account: Account, source: str, tmp_path: Path
):
    found = migrated(ftctl, source)
    assert found["parity"]["recording"] is None
    test = recorded(ftctl, tmp_path, source, "later")
    again = migrated(ftctl, source)
    assert f"--test {test} " in again["parity"]["command"]
    assert "recorded:later" in again["parity"]["command"]


def test_a_recording_of_other_rows_or_another_model_is_refused(
    ftctl: Ftctl, account: Account, source: str, tmp_path: Path
):
    recorded(ftctl, tmp_path, source)
    other = tmp_path / "other.jsonl"
    other.write_text(json.dumps(chat_rows(30)[29]) + "\n")
    to = ("--to", "azure", "--model", AZURE_MODEL)
    refused = ftctl("migrate", source, *to, "--test", other)
    assert refused.code == 2
    assert "made on another file" in refused.err
    second = account.add()
    ftctl("adopt", "--provider", "openai")
    refused = ftctl("migrate", second, *to, "--recording", "old")
    assert refused.code == 2
    assert "is of ft:" in refused.err


def test_the_old_profile_may_be_gone(ftctl: Ftctl, account: Account, source: str):
    config = ftctl.home / "ftctl.toml"
    before = config.read_text()
    config.write_text(before.replace("[providers.openai]", "[providers.renamed]"))
    assert lines(migrated(ftctl, source, "--dry-run"))["learning rate"][2] == "kept"


def test_a_job_without_a_model_or_without_data_cannot_move(ftctl: Ftctl, account: Account):
    running = account.add(3)
    account.lose(account.files[1])
    bare = account.add()
    account.change(bare, training_file=account.files[1])
    ftctl("adopt", "--provider", "openai")
    to = ("--to", "azure", "--model", AZURE_MODEL)
    assert "no tuned model" in ftctl("migrate", running, *to).err
    lost = ftctl("migrate", bare, *to)
    assert lost.code == 2
    assert "not in the store" in lost.err

"""What a job leaves at its provider: tables, files, checkpoints and models, read and taken away."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import validate

from orchestrator.resources import schema
from orchestrator.usecases.jobs.results import defused, table
from providers.simulator import Simulator
from tests.conftest import Ftctl
from tests.factories import chat_file

MODEL = "gpt-4.1-mini-2025-04-14"


def installed(ftctl: Ftctl, sim: Simulator, kind: str, extra: str = "") -> None:
    ftctl.environment["KEY"] = "sk-test-0123456789"
    (ftctl.home / "ftctl.toml").write_text(
        f'[providers.host]\nkind = "{kind}"\nbase_url = "{sim.url}"\napi_key_env = "KEY"\n{extra}'
    )


@pytest.fixture(params=["openai", "azure", "azure-dated"])
def dialect(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def sim(ftctl: Ftctl, dialect: str) -> Iterator[Simulator]:
    with Simulator(dialect) as made:
        dated = 'api_version = "2024-10-21"\n' if dialect == "azure-dated" else ""
        installed(ftctl, made, dialect.partition("-")[0], dated)
        yield made


def submitted(ftctl: Ftctl) -> str:
    training = chat_file(ftctl.home / "train.jsonl")
    done = ftctl("submit", training, "--provider", "host", "--model", MODEL, "--json")
    assert done.code == 0, done.err
    return str(done.json["id"])


def finished(ftctl: Ftctl, sim: Simulator) -> str:
    job = submitted(ftctl)
    sim.advance(10)
    assert ftctl("sync", "--all").code == 0
    return job


def test_the_tables_of_a_job_are_downloaded(ftctl: Ftctl, sim: Simulator):
    job = finished(ftctl, sim)
    done = ftctl("results", job, "--out", ftctl.home / "out", "--json")
    validate(done.json, schema("results.schema.json"))
    assert done.json["files"][0]["columns"] == ["step", "train_loss"]
    (path,) = done.json["written"]
    assert Path(path).read_text() == ftctl("results", job).out
    assert Path(path).read_text().startswith("step,train_loss\n10,1.0\n")


def test_a_job_without_tables_says_so(ftctl: Ftctl, sim: Simulator):
    done = ftctl("results", submitted(ftctl))
    assert done.code == 1
    assert "no result files" in done.err


@pytest.mark.parametrize("wrap", [lambda raw: raw, base64.b64encode, base64.encodebytes])
def test_any_columns_are_taken_and_no_cell_acts(wrap: Any):
    raw = "step,valid_loss,note\n1,-0.5,=HYPERLINK(1)\n2,,@x\n3,1e-3,+1\n".encode("utf-8-sig")
    found = table("file-1", wrap(raw))
    assert found.columns == ["step", "valid_loss", "note"]
    assert found.rows == [["1", "-0.5", "'=HYPERLINK(1)"], ["2", "", "'@x"], ["3", "1e-3", "+1"]]
    assert defused("-1+cmd|' /C calc'!A0").startswith("'")
    assert table("file-2", b"").columns == []


def test_a_page_instead_of_a_table_is_no_table(ftctl: Ftctl, sim: Simulator):
    job = finished(ftctl, sim)
    sim.order_fault("file_content", "html_200", times=3)
    done = ftctl("results", job)
    assert done.code == 4
    assert "HTML" in done.err


def test_files_are_listed_with_the_jobs_they_are_for(ftctl: Ftctl, sim: Simulator):
    job = submitted(ftctl)
    listed = ftctl("files", "list", "--provider", "host", "--json").json
    validate(listed, schema("files.schema.json"))
    (mine,) = listed
    assert (mine["jobs"], mine["ours"], mine["needed"]) == ([job], True, True)
    assert mine["id"] in ftctl("files", "list", "--provider", "host").out


def test_a_file_that_a_job_needs_stays(ftctl: Ftctl, sim: Simulator):
    job = submitted(ftctl)
    (mine,) = ftctl("files", "list", "--provider", "host", "--json").json
    done = ftctl("files", "delete", "--provider", "host", mine["id"], "--yes")
    assert (done.code, sim.count("delete_file")) == (2, 0)
    assert f"Job {job} is" in done.err
    sim.advance(10)
    ftctl("sync", "--all")
    done = ftctl("files", "delete", "--provider", "host", "--unneeded", "--yes", "--json")
    validate(done.json, schema("files.schema.json"))
    assert done.json["deleted"] == [mine["id"]]
    # Sent again, for its upload is forgotten.
    ftctl.clock.sleep(2 * 86400)
    submitted(ftctl)
    assert sim.count("upload_file") == 2


def test_nothing_is_deleted_without_a_yes(ftctl: Ftctl, sim: Simulator):
    job = finished(ftctl, sim)
    for command in (
        ("delete", job, "--tuned-model"),
        ("files", "delete", "--provider", "host", "--unneeded"),
    ):
        done = ftctl(*command)
        assert (done.code, "--yes" in done.err) == (2, True)
    assert sim.count("delete_model") == sim.count("delete_file") == 0


def test_a_tuned_model_is_deleted_once_however_often_it_is_asked(ftctl: Ftctl, sim: Simulator):
    job = finished(ftctl, sim)
    asked = ("delete", job, "--tuned-model", "--yes", "--json")
    if sim.dialect.dated:
        assert "cannot delete models" in ftctl(*asked).err
        return
    sim.order_fault("delete_model", "drop_after_accept")
    done = ftctl(*asked)
    validate(done.json, schema("delete.schema.json"))
    assert done.json["deleted"] == [ftctl("status", job, "--json").json["tuned_model"]]
    assert ftctl(*asked).code == 0
    told = [event["message"] for event in ftctl("events", job, "--json").json]
    assert len([message for message in told if "was deleted at the provider" in message]) == 1


def test_the_record_of_a_job_goes_where_it_can(ftctl: Ftctl, sim: Simulator):
    job = finished(ftctl, sim)
    done = ftctl("delete", job, "--record", "--yes")
    if sim.dialect.name == "openai":
        assert (done.code, "cannot delete jobs" in done.err) == (2, True)
        return
    assert done.code == 0, done.err
    assert ftctl("delete", job, "--record", "--yes").code == 0
    assert ftctl("status", job, "--json").json["status"] == "succeeded"


def test_an_unfinished_job_keeps_its_record(ftctl: Ftctl, sim: Simulator):
    job = submitted(ftctl)
    done = ftctl("delete", job, "--record", "--yes")
    assert (done.code, sim.count("delete_job")) == (2, 0)
    assert "only what has ended" in done.err


def test_checkpoints_are_listed_with_metrics_and_names(ftctl: Ftctl, sim: Simulator):
    job = finished(ftctl, sim)
    listed = ftctl("checkpoints", job, "--json").json
    validate(listed, schema("checkpoints.schema.json"))
    assert [each["step"] for each in listed] == sorted(each["step"] for each in listed)
    assert listed == ftctl("checkpoints", "list", job, "--json").json
    table_of_it = ftctl("checkpoints", job).out
    assert "TRAIN_LOSS" in table_of_it
    assert listed[0]["model"] in table_of_it


def test_a_checkpoint_is_shared_and_taken_back(ftctl: Ftctl, sim: Simulator):
    job = finished(ftctl, sim)
    asked = (job, "10", "--project", "proj_a", "--json")
    if sim.dialect.name != "openai":
        done = ftctl("checkpoints", "share", *asked)
        assert (done.code, "shares no checkpoints" in done.err) == (2, True)
        return
    sim.order_fault("grant_permission", "drop_after_accept")
    done = ftctl("checkpoints", "share", *asked)
    assert done.code == 0, done.err
    validate(done.json, schema("checkpoints.schema.json"))
    assert ftctl("checkpoints", "shared", job, "10").out.startswith("proj_a")
    assert len(done.json["permissions"]) == sim.count("grant_permission") == 1
    assert ftctl("checkpoints", "unshare", *asked).json["permissions"] == []
    assert "open to no other" in ftctl("checkpoints", "shared", job, "10").err
    assert "may not use" in ftctl("checkpoints", "unshare", *asked).err
    assert "no checkpoint at step 11" in ftctl("checkpoints", "shared", job, "11").err

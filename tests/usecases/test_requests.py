"""What `ftctl submit` asks for: every method and option, or a refusal before anything is sent."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.domain.jobs.job import Method
from providers.simulator import Simulator
from tests.conftest import Ftctl
from tests.factories import chat_file
from tests.providers.description import faults, operation

MODEL = "gpt-4.1-mini-2025-04-14"
GRADER = {
    "type": "string_check",
    "name": "same",
    "input": "{{sample.output_text}}",
    "reference": "{{ item.answer }}",
    "operation": "eq",
}


@pytest.fixture
def host(ftctl: Ftctl) -> Iterator[Simulator]:
    with Simulator("openai") as sim:
        ftctl.environment["KEY"] = "sk-test-0123456789"
        (ftctl.home / "ftctl.toml").write_text(
            f'[providers.host]\nkind = "openai"\nbase_url = "{sim.url}"\napi_key_env = "KEY"\n'
        )
        yield sim


def rows(path: Path, method: str, count: int = 12, **more: Any) -> Path:
    if method == "supervised":
        return chat_file(path, count)
    asked = [{"role": "user", "content": "Is 7 prime?"}]
    row: dict[str, Any] = {"messages": asked, "answer": "yes", **more}
    if method == "dpo":
        row = {
            "input": {"messages": asked},
            "preferred_output": [{"role": "assistant", "content": "yes"}],
            "non_preferred_output": [{"role": "assistant", "content": "no"}],
        }
    path.write_text("".join(f"{json.dumps(row | {'n': n})}\n" for n in range(count)))
    if method == "dpo":
        path.write_text(f"{json.dumps(row)}\n" * count)
    return path


def grader(folder: Path, **changes: Any) -> Path:
    path = folder / "grader.json"
    path.write_text(json.dumps({**GRADER, **changes}))
    return path


def submit(ftctl: Ftctl, method: str, *options: str | Path, model: str = MODEL):
    training = rows(ftctl.home / "train.jsonl", method)
    return ftctl(
        "submit", training, "--provider", "host", "--model", model, "--method", method, "--yes",
        "--json", *options,
    )  # fmt: skip


OPTIONS: dict[str, tuple[str, ...]] = {
    "supervised": (),
    "dpo": ("--beta", "0.3"),
    "reinforcement": (
        "--compute-multiplier", "1.5", "--eval-interval", "5", "--eval-samples", "2",
        "--reasoning-effort", "low",
    ),
}  # fmt: skip


@pytest.mark.parametrize("method", list(Method))
def test_every_method_is_asked_for_as_openai_describes_it(
    ftctl: Ftctl, host: Simulator, method: Method
):
    options: list[str | Path] = [*OPTIONS[method]]
    if method is Method.REINFORCEMENT:
        validation = rows(ftctl.home / "valid.jsonl", method)
        options += ["--grader", grader(ftctl.home), "--validation", validation]
    done = submit(
        ftctl, method, *options, "--seed", "7", "--suffix", "tickets", "--epochs", "2",
        "--metadata", "team=search", "--wandb", "proj", "--wandb-tag", "a", "--wandb-tag", "b",
        model="any-model",
    )  # fmt: skip
    assert done.code == 0, done.err
    call = next(each.call for each in host.exchanges if each.route == "create_job")
    body = call.json()
    schema = operation("post", "/fine_tuning/jobs")["requestBody"]["content"]["application/json"]
    assert faults(schema["schema"], body) == []
    names = {option[2:].replace("-", "_") for option in OPTIONS[method][::2]}
    assert set(body["method"][method]["hyperparameters"]) == {"n_epochs", *names}
    assert body["metadata"]["team"] == "search"
    assert len(body["metadata"]["ftctl_token"]) == 26
    wandb = {"project": "proj", "tags": ["a", "b"]}
    assert body["integrations"] == [{"type": "wandb", "wandb": wandb}]
    job = ftctl("status", done.json["id"], "--json").json
    assert job["options"]["metadata"] == {"team": "search"}
    assert job["options"]["wandb"] == wandb
    assert ("grader" in job["options"]) == (method is Method.REINFORCEMENT)


@pytest.mark.parametrize(
    ("method", "options", "flag", "mend"),
    [
        ("supervised", ("--epochs", "51"), "--epochs 51", "--epochs 50"),
        ("supervised", ("--epochs", "0"), "--epochs 0", "--epochs 1"),
        ("supervised", ("--batch-size", "257"), "--batch-size 257", "--batch-size 256"),
        ("supervised", ("--learning-rate-multiplier", "0"), "above 0", "NUMBER"),
        ("supervised", ("--learning-rate-multiplier", "inf"), "inf is out of bounds", "NUMBER"),
        ("supervised", ("--learning-rate-multiplier", "nan"), "nan is out of bounds", "NUMBER"),
        ("supervised", ("--seed", "-1"), "--seed -1", "--seed 0"),
        ("supervised", ("--seed", "2147483648"), "--seed", "--seed 2147483647"),
        ("supervised", ("--suffix", "x" * 65), "65 characters", "--suffix"),
        ("supervised", ("--beta", "1"), "--beta means nothing", "leave --beta away"),
        ("dpo", ("--beta", "2.5"), "--beta 2.5", "--beta 2"),
        ("dpo", ("--eval-samples", "2"), "--eval-samples means nothing", "leave"),
        ("reinforcement", (), "needs a grader", "--grader FILE.json"),
        ("supervised", ("--training-type", "Developer"), "training types", "leave"),
        ("supervised", ("--metadata", "team"), "no pair", "KEY=VALUE"),
        ("supervised", ("--metadata", "ftctl_token=1"), "ftctl's own", "OTHER"),
        ("supervised", ("--metadata", f"k={'v' * 513}"), "too long", "shorter"),
        ("supervised", ("--wandb-name", "run"), "need a project", "--wandb PROJECT"),
        ("supervised", ("--lora", "r=8"), "takes no --lora", "leave --lora away"),
        ("supervised", ("--worker", "engine=trl"), "takes no --worker", "leave --worker away"),
        ("supervised", ("--lora", "r"), "no pair", "--lora KEY=VALUE"),
        ("supervised", ("--lora", "r=8", "--lora", "r=4"), "given twice", "leave"),
        ("supervised", ("--lora", "dropout=2"), "from 0 to below 1", "--lora dropout=0.05"),
        ("supervised", ("--lora", "target_modules=q"), "a list", """'["q_proj","v_proj"]'"""),
        ("supervised", ("--lora", "rank=8"), "not 'rank'", ""),
        ("supervised", ("--lora", "r=eight"), "must be a whole number from 1", "--lora r=8"),
        ("supervised", ("--worker", "engin=trl"), "not 'engin'", "--worker engine=trl"),
        ("supervised", ("--worker", "engine=vllm"), "one of peft, trl", "--worker engine=peft"),
        ("supervised", ("--worker", "shard=yes"), "true or false", "--worker shard="),
    ],
)
def test_what_is_out_of_bounds_is_refused_here(
    ftctl: Ftctl, host: Simulator, method: str, options: tuple[str, ...], flag: str, mend: str
):
    done = submit(ftctl, method, *options, model="any-model")
    assert done.code == 2
    assert flag in done.err
    assert mend in done.err
    assert not host.exchanges


def test_our_own_pair_is_counted_in(ftctl: Ftctl, host: Simulator):
    pairs = [f"k{n}={n}" for n in range(16)]
    options = [part for pair in pairs for part in ("--metadata", pair)]
    assert "15 are free" in submit(ftctl, "supervised", *options).err
    assert submit(ftctl, "supervised", *options[2:]).code == 0
    assert len(host.ledger[0]["metadata"]) == 16


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"type": "vibes"}, "type 'vibes' is not known"),
        ({"type": ["string_check"]}, "is not known"),
        ({"operation": "same"}, "/operation"),
        ({"reference": "{{item.solution}}"}, "row 1 of"),
        ({"reference": "{{item.messages[7].content}}"}, "has no 'messages[7].content'"),
        ({"reference": "{{sample.output}}"}, "names nothing a grader is given"),
        ({"reference": "{{answer}}"}, "names nothing a grader is given"),
        ({"input": "{{sample.output_text"}, "{{sample.output_text is not closed"),
        ({"type": "python", "source": "def grade(sample): pass"}, "no grade(sample, item)"),
        ({"type": "python", "source": "def grade(sample, item) pass"}, "does not parse"),
        (
            {"type": "python", "source": "def grade(sample, item): return 1\n" + "#" * 262144},
            "must stay below 262,144",
        ),
        ({"type": "multi", "graders": {"a": GRADER}, "calculate_output": "a + b"}, "formula"),
        (
            {"type": "multi", "graders": {"a": {**GRADER, "name": 3}}, "calculate_output": "a"},
            "/graders/a/name",
        ),
    ],
)
def test_a_grader_that_would_fail_there_is_refused_here(
    ftctl: Ftctl, host: Simulator, changes: dict[str, Any], said: str
):
    validation = rows(ftctl.home / "valid.jsonl", "reinforcement")
    path = grader(ftctl.home, **changes)
    done = submit(
        ftctl, "reinforcement", "--grader", path, "--validation", validation, model="any-model"
    )
    assert done.code == 2
    assert said in done.err
    assert not host.exchanges


@pytest.mark.parametrize("part", [GRADER, {"a": GRADER, "b": {**GRADER, "name": "b"}}])
def test_a_multi_grader_may_hold_one_or_many(ftctl: Ftctl, host: Simulator, part: dict[str, Any]):
    formula = "same" if part is GRADER else "0.5 * a + 0.5 * b"
    path = grader(ftctl.home, type="multi", graders=part, calculate_output=formula)
    validation = rows(ftctl.home / "valid.jsonl", "reinforcement")
    done = submit(
        ftctl, "reinforcement", "--grader", path, "--validation", validation, model="any-model"
    )
    assert done.code == 0, done.err
    call = next(each.call for each in host.exchanges if each.route == "create_job")
    assert call.json()["method"]["reinforcement"]["grader"]["graders"] == part


def test_a_python_grader_goes_as_it_is(ftctl: Ftctl, host: Simulator):
    source = "import re\ndef grade(sample, item):\n    return float(bool(re.match('\\d', item['answer'])))\n"
    path = grader(ftctl.home, type="python", source=source, image_tag="2025-05-08")
    validation = rows(ftctl.home / "valid.jsonl", "reinforcement")
    done = submit(
        ftctl, "reinforcement", "--grader", path, "--validation", validation, model="any-model"
    )
    assert done.code == 0, done.err
    assert "Warning" not in done.err
    call = next(each.call for each in host.exchanges if each.route == "create_job")
    assert call.json()["method"]["reinforcement"]["grader"]["source"] == source


def test_what_the_provider_refuses_is_named_as_it_was_typed(ftctl: Ftctl, host: Simulator):
    host.order_fault(
        "create_job", "refuse", status=400, message="no", param="method.dpo.hyperparameters.beta"
    )
    training = rows(ftctl.home / "train.jsonl", "dpo")
    done = ftctl("submit", training, "--provider", "host", "--model", MODEL, "--method", "dpo")
    assert done.code == 1
    assert "it names --beta" in done.err


def test_a_submit_that_is_killed_between_parts_sends_no_part_twice(ftctl: Ftctl):
    with Simulator("openai", largest_request=512) as host:
        (ftctl.home / "ftctl.toml").write_text(
            f'[providers.host]\nkind = "openai"\nbase_url = "{host.url}"\napi_key_env = "KEY"\n'
            "parts_above = 512\npart_bytes = 300\n"
        )
        environment = {
            **os.environ,
            "KEY": "sk-test-0123456789",
            "FTCTL_HOME": str(ftctl.home),
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }
        training = rows(ftctl.home / "train.jsonl", "supervised", 40)
        command = [sys.executable, "-m", "orchestrator", "submit", str(training)]
        killed = subprocess.run(
            [*command, "--provider", "host", "--model", MODEL, "--yes"],
            env={**environment, "FTCTL_TEST": "1", "FTCTL_FAILPOINT": "submit.part_sent:3"},
            cwd=ftctl.home,
            capture_output=True,
            text=True,
            check=False,
        )
        assert killed.returncode == -signal.SIGKILL
        assert "uploaded 900 of " in killed.stderr
        assert (host.count("add_part"), len(host.ledger)) == (3, 0)
        ftctl.environment["KEY"] = "sk-test-0123456789"
        assert ftctl("sync", "--all").code == 0
        size = training.stat().st_size
        assert host.count("add_part") == -(-size // 300)
        assert (host.count("begin_upload"), len(host.ledger)) == (1, 1)


def test_a_file_that_is_about_to_expire_is_sent_again(ftctl: Ftctl, host: Simulator):
    assert submit(ftctl, "supervised").code == 0
    with host._memory.change() as state:
        for file in state["files"].values():
            file["expires_at"] = int(ftctl.clock.now().timestamp()) + 600
    assert submit(ftctl, "supervised", "--again").code == 0
    assert host.count("upload_file") == 2

"""Good bodies with one thing wrong, at every place: answered by the description, never by a crash."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.worker.servers import TOKEN, Worker, colour_rows

AUTH = {"Authorization": f"Bearer {TOKEN}"}
CHECK = {
    "type": "string_check",
    "name": "a",
    "operation": "eq",
    "input": "{{ sample.output_text }}",
    "reference": "x",
}
SIMILAR = {
    "type": "text_similarity",
    "name": "b",
    "input": "{{ sample.output_text }}",
    "reference": "x",
    "evaluation_metric": "bleu",
}
BOTH = {
    "type": "multi",
    "name": "c",
    "graders": {"a": CHECK, "b": SIMILAR},
    "calculate_output": "a + b",
}
JOB = {
    "model": "mini",
    "training_file": "FILE",
    "validation_file": "FILE",
    "suffix": "s",
    "seed": 1,
    "metadata": {"a": "b"},
    "integrations": [],
}
# What every job needs: the other keys are tried once, with the first method.
LEAST = {"model": "mini", "training_file": "FILE"}
SUPERVISED = {
    "n_epochs": 1,
    "batch_size": "auto",
    "learning_rate_multiplier": 0.5,
    "lora": {"r": 4, "alpha": 8, "dropout": 0.1, "target_modules": ["q_proj"]},
    "early_stopping_patience": 1,
    "engine": "peft",
}
REINFORCEMENT = {"n_epochs": 1, "compute_multiplier": 1, "eval_interval": 1, "eval_samples": 1}
FUNCTION = {"name": "f", "parameters": {"type": "object", "properties": {"a": {"const": 1}}}}
BODIES: dict[str, tuple[str, dict[str, Any]]] = {
    "supervised": (
        "/fine_tuning/jobs",
        {**JOB, "method": {"type": "supervised", "supervised": {"hyperparameters": SUPERVISED}}},
    ),
    "dpo": (
        "/fine_tuning/jobs",
        {**LEAST, "method": {"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.1}}}},
    ),
    "reinforcement": (
        "/fine_tuning/jobs",
        {
            **LEAST,
            "method": {
                "type": "reinforcement",
                "reinforcement": {"grader": BOTH, "hyperparameters": REINFORCEMENT},
            },
        },
    ),
    "upload": (
        "/uploads",
        {
            "bytes": 10,
            "filename": "a.jsonl",
            "mime_type": "text/jsonl",
            "purpose": "fine-tune",
            "expires_after": {"anchor": "created_at", "seconds": 3600},
        },
    ),
    "complete": ("/uploads/UPLOAD/complete", {"part_ids": ["part_x"], "md5": "0" * 32}),
    "validate": ("/fine_tuning/alpha/graders/validate", {"grader": BOTH}),
    "run": (
        "/fine_tuning/alpha/graders/run",
        {"grader": CHECK, "model_sample": "x", "item": {"a": {"b": [1]}}},
    ),
    "chat": (
        "/chat/completions",
        {
            "model": "mini",
            "messages": [{"role": "developer", "content": [{"type": "text", "text": "x"}]}],
            "max_completion_tokens": 1,
            "n": 2,
            "logit_bias": {"70": 1},
            "presence_penalty": 1,
            "tools": [{"type": "function", "function": FUNCTION}],
            "tool_choice": "none",
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "a", "schema": {"const": 1}},
            },
            "parallel_tool_calls": True,
            "stream_options": {"include_usage": True},
        },
    ),
    "responses": (
        "/responses",
        {
            "model": "mini",
            "instructions": "x",
            "input": [
                {"role": "user", "content": [{"type": "input_text", "text": "a"}]},
                {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c", "output": "x"},
            ],
            "tools": [{"type": "function", **FUNCTION}],
            "tool_choice": {"type": "function", "name": "f"},
            "text": {"format": {"type": "json_schema", "name": "a", "schema": {"const": 1}}},
            "max_output_tokens": 1,
            "top_logprobs": 1,
            "metadata": {"a": "b"},
            "store": False,
        },
    ),
    "share": ("/fine_tuning/checkpoints/MODEL/permissions", {"project_ids": ["proj_x"]}),
}
ODD: tuple[Any, ...] = (
    None, True, 0, -1, 1.5, 10**30, 1e308, "", "\x00", "x" * 20_000, "auto", [], [None], {}, {"": {}},
)  # fmt: skip


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to every value inside of ``value``."""
    inner = enumerate(value) if isinstance(value, list) else ()
    for key, one in value.items() if isinstance(value, dict) else inner:
        yield (*at, key)
        yield from places(one, (*at, key))


def mutations(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the body with one value replaced, taken away, or with one too many."""
    for *way, last in places(body):
        for odd in ODD:
            changed = copy.deepcopy(body)
            inside(changed, way)[last] = odd
            yield changed
        changed = copy.deepcopy(body)
        del inside(changed, way)[last]
        yield changed
        if isinstance(last, str):
            changed = copy.deepcopy(body)
            inside(changed, way)[f"{last}\ud7ff"] = 1
            yield changed


def inside(value: Any, way: list[Any]) -> Any:
    for key in way:
        value = value[key]
    return value


@pytest.fixture(scope="module")
def names(worker: Worker, tuned_job: Any) -> dict[str, str]:
    """What stands for itself in the bodies and paths above."""
    upload = worker.client.uploads.create(
        bytes=10, filename="a", mime_type="text/jsonl", purpose="fine-tune"
    )
    model = tuned_job.fine_tuned_model
    return {"FILE": worker.upload(colour_rows(2)), "UPLOAD": upload.id, "MODEL": model}


@pytest.mark.parametrize("kind", BODIES)
def test_one_thing_wrong_is_refused_by_name_and_never_breaks_the_server(
    worker: Worker, names: dict[str, str], kind: str
) -> None:
    path, body = BODIES[kind]
    for name, value in names.items():
        path = path.replace(name, value)
        body = json.loads(json.dumps(body).replace(f'"{name}"', f'"{value}"'))
    statuses = set()
    for changed in mutations(body):
        answer = worker.http.post(worker.url + path, json=changed, headers=AUTH)
        said = answer.json()
        assert answer.status_code in {200, 400, 404}, (changed, answer.text)
        statuses.add(answer.status_code)
        if answer.status_code == 200 and said.get("object") == "fine_tuning.job":
            worker.http.post(f"{worker.url}{path}/{said['id']}/cancel", headers=AUTH)
        elif answer.status_code != 200:
            assert said["error"]["param"], (changed, said)
            assert len(answer.text) < 2000, changed
    assert 400 in statuses

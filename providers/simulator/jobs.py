"""Jobs of a simulated host: taken in, moved on by every look, billed once each."""

from __future__ import annotations

import base64
import math
from typing import TYPE_CHECKING, Any

from providers.simulator import faults, files
from providers.simulator.exchange import RefusedError

if TYPE_CHECKING:
    from providers.simulator.dialects import SimulatedDialect
    from providers.simulator.state import State

    Record = dict[str, Any]

FINAL = frozenset({"succeeded", "failed", "cancelled"})
STEPS_PER_LOOK = 10
TOKENS_PER_ROW = 50

_COMMON: dict[str, tuple[float, float]] = {
    "n_epochs": (1, 50),
    "batch_size": (1, 256),
    "learning_rate_multiplier": (0, math.inf),
}
_BOUNDS: dict[str, dict[str, tuple[float, float]]] = {
    "supervised": _COMMON,
    "dpo": {**_COMMON, "beta": (0, 2)},
    "reinforcement": {
        **_COMMON,
        "compute_multiplier": (0.00001, 10),
        "eval_interval": (1, math.inf),
        "eval_samples": (1, math.inf),
    },
}
_EFFORTS = frozenset({"default", "low", "medium", "high"})


def create(state: State, body: Any, dialect: SimulatedDialect, serial: str, now: int) -> Record:
    """Take a job in and bill it.

    Raises:
        RefusedError: the request breaks a rule.
    """
    if dialect.dated:
        body = _undated(body)
    hyperparameters = _checked(state, body, dialect)
    record: Record = {
        "id": f"ftjob-{serial}",
        "serial": serial,
        "created_at": now,
        "model": body["model"],
        "training_file": body["training_file"],
        "validation_file": body.get("validation_file"),
        "suffix": body.get("suffix"),
        "seed": body.get("seed", 42),
        "metadata": body.get("metadata"),
        "method": body.get("method", {"type": "supervised"})["type"],
        "hyperparameters": hyperparameters,
        "grader": _grader(body),
        "integrations": body.get("integrations") or [],
        "training_type": body.get("trainingType"),
        "step": 0,
        "paused": False,
        "status": dialect.script[0],
        "fails": faults.take(state, "train") is not None,
        "events": [],
        "checkpoints": [],
        "result_files": [],
        "fine_tuned_model": None,
        "finished_at": None,
        "trained_tokens": None,
        "error": None,
    }
    state["jobs"][record["id"]] = record
    state["ledger"].append({"job": record["id"], "metadata": record["metadata"], "at": now})
    _tell(record, now, "Created fine-tuning job: " + record["id"])
    return record


def find(state: State, job_id: str) -> Record:
    """A job's record.

    Raises:
        RefusedError: there is no such job.
    """
    record: Record | None = state["jobs"].get(job_id)
    if record is None:
        raise RefusedError(
            404, f"Could not find fine tune: {job_id}", code="fine_tune_not_found", param="id"
        )
    return record


def advance(state: State, record: Record, dialect: SimulatedDialect, now: int) -> None:
    """Move a job on by one state."""
    if record["status"] in FINAL or record["paused"]:
        return
    fault = _unusable(state, record, dialect)
    if record["step"] == 0 and fault:
        _fail(record, now, "invalid_training_file", fault)
        return
    record["step"] += 1
    record["status"] = dialect.script[record["step"]]
    if record["status"] == "running":
        _train(state, record, now)
        if record["fails"]:
            _fail(record, now, "server_error", "The job failed, as it was ordered to.")
    elif record["status"] == "succeeded":
        _succeed(state, record, dialect, now)


def turn(record: Record, verb: str, dialect: SimulatedDialect, now: int) -> None:
    """Cancel, pause or resume.

    Raises:
        RefusedError: the job has ended, or the host cannot do that.
    """
    if verb != "cancel" and not dialect.pause:
        raise RefusedError(404, f"Unknown request URL: {verb}", code="unknown_url")
    if record["status"] in FINAL:
        raise RefusedError(400, f"Job has already completed: {record['id']}", param="id")
    if verb == "cancel":
        record.update(status="cancelled", finished_at=now, paused=False)
        _tell(record, now, "The job has been cancelled.")
        return
    if record["paused"] == (verb == "pause"):
        raise RefusedError(400, f"Job cannot be {verb}d now: {record['id']}", param="id")
    record["paused"] = verb == "pause"
    record["status"] = "paused" if record["paused"] else dialect.script[record["step"]]


def shown(record: Record, dialect: SimulatedDialect) -> dict[str, Any]:
    """A job as the host tells it."""
    chosen = {"n_epochs": 3, "batch_size": 1, "learning_rate_multiplier": 1.0}
    hyperparameters = {**chosen, **record["hyperparameters"]}
    if dialect.dated:
        return _dated(record)
    keys = (
        "id", "created_at", "model", "status", "fine_tuned_model", "finished_at", "seed",
        "trained_tokens", "training_file", "validation_file", "metadata", "error",
    )  # fmt: skip
    return {
        "object": "fine_tuning.job",
        **{key: record[key] for key in keys},
        **({} if dialect.echoes else {"metadata": None}),
        "organization_id": None if dialect.nulls else "org-simulated",
        "result_files": record["result_files"] or (None if dialect.nulls else []),
        "hyperparameters": {"n_epochs": -1} if dialect.nulls else hyperparameters,
        "method": {
            "type": record["method"],
            record["method"]: {"hyperparameters": hyperparameters, **_graded(record)},
        },
        "integrations": record.get("integrations", []),
        "user_provided_suffix": record["suffix"],
        "estimated_finish": None,
    }


def events(state: State, record: Record, dialect: SimulatedDialect) -> list[dict[str, Any]]:
    """A job's events, in the host's order."""
    found = [dict(event) for event in record["events"]]
    if dialect.changing_event_ids:
        state["serial"] += 1
        for event in found:
            event["id"] = f"{event['id']}-{state['serial']}"
    return found[::-1] if dialect.newest_first else found


def _checked(state: State, body: Any, dialect: SimulatedDialect) -> dict[str, Any]:
    """The hyperparameters of a request that breaks no rule."""
    if not isinstance(body, dict):
        raise RefusedError(400, "We could not parse the JSON body of your request.")
    for name in ("model", "training_file"):
        if not isinstance(body.get(name), str) or not body[name]:
            raise RefusedError(400, f"You must provide a '{name}' parameter.", param=name)
    for name in ("training_file", "validation_file"):
        if body.get(name) and body[name] not in state["files"]:
            raise RefusedError(400, f"invalid {name}: {body[name]} does not exist", param=name)
    if body.get("metadata") and not dialect.metadata:
        raise RefusedError(400, "Unknown parameter: 'metadata'.", param="metadata")
    suffix = body.get("suffix")
    if suffix and (len(suffix) > dialect.suffix_limit or (dialect.deployments and "." in suffix)):
        raise RefusedError(400, f"'{suffix}' is no suffix this host takes.", param="suffix")
    return _chosen(body.get("method", {"type": "supervised"}), dialect)


def _undated(body: Any) -> dict[str, Any]:
    """A body of Azure's older surface in the words of the newer one."""
    known = {
        "model", "training_file", "validation_file", "hyperparameters", "suffix", "seed",
    }  # fmt: skip
    for name in body:
        if name not in known:
            raise RefusedError(400, f"Unknown field '{name}'.", param=name)
    chosen = {name: value for name, value in body.get("hyperparameters", {}).items() if value != -1}
    plain = {name: value for name, value in body.items() if name != "hyperparameters"}
    method = {"type": "supervised", "supervised": {"hyperparameters": chosen}}
    return {**plain, "method": method}


def _dated(record: Record) -> dict[str, Any]:
    """A job as Azure's older surface tells it: fields without a value are left out."""
    keys = (
        "id", "created_at", "model", "status", "fine_tuned_model", "finished_at", "seed", "suffix",
        "trained_tokens", "training_file", "validation_file", "error",
    )  # fmt: skip
    told = {key: record[key] for key in keys if record[key] is not None}
    chosen = {"n_epochs": -1, **record["hyperparameters"]}
    return {
        "object": "fine_tuning.job",
        **told,
        "organisation_id": "simulated",
        "hyperparameters": chosen,
        **({"result_files": record["result_files"]} if record["result_files"] else {}),
    }


def _chosen(method: Any, dialect: SimulatedDialect) -> dict[str, Any]:
    kind = method.get("type")
    if kind not in dialect.methods:
        raise RefusedError(400, f"'{kind}' is no method of this host.", param="method.type")
    own = method.get(kind, {})
    chosen = own.get("hyperparameters", {})
    for name, value in chosen.items():
        where = f"method.{kind}.hyperparameters.{name}"
        if name == "reasoning_effort" and kind == "reinforcement":
            if value not in _EFFORTS:
                raise RefusedError(400, f"'{value}' is no effort.", param=where)
            continue
        if name in dialect.own_options:
            continue
        if name not in _BOUNDS[kind]:
            raise RefusedError(400, f"Unknown parameter: '{name}'.", param=where)
        low, high = _BOUNDS[kind][name]
        if value != "auto" and not low <= value <= high:
            raise RefusedError(400, f"{value} is out of bounds for '{name}'.", param=where)
    if kind == "reinforcement" and not isinstance(own.get("grader"), dict):
        raise RefusedError(400, "A grader is required.", param="method.reinforcement.grader")
    return {name: value for name, value in chosen.items() if value != "auto"}


def _grader(body: Any) -> Any:
    method = body.get("method", {})
    return method.get("reinforcement", {}).get("grader")


def _graded(record: Record) -> dict[str, Any]:
    grader = record.get("grader")
    return {"grader": grader} if grader else {}


def _unusable(state: State, record: Record, dialect: SimulatedDialect) -> str | None:
    file = state["files"][record["training_file"]]
    if file["fault"]:
        return str(file["fault"])
    if file["rows"] < dialect.min_rows:
        return f"Training file has {file['rows']} example(s), but must have at least {dialect.min_rows}."
    return None


def _train(state: State, record: Record, now: int) -> None:
    step = len(record["checkpoints"]) * STEPS_PER_LOOK + STEPS_PER_LOOK
    loss = round(2.0 / (1 + step / 10), 4)
    _tell(
        record,
        now,
        f"Step {step}: training loss={loss}",
        {"step": step, "train_loss": loss, "train_mean_token_accuracy": round(1 - loss / 4, 4)},
    )
    state["serial"] += 1
    record["checkpoints"].append(
        {
            "id": f"ftckpt-{state['serial']:08d}",
            "object": "fine_tuning.job.checkpoint",
            "created_at": now,
            "fine_tuned_model_checkpoint": f"ft:{record['model']}:{record['serial'][:8]}"
            f":ckpt-step-{step}",
            "fine_tuning_job_id": record["id"],
            "step_number": step,
            "metrics": {"step": step, "train_loss": loss},
        }
    )


def _succeed(state: State, record: Record, dialect: SimulatedDialect, now: int) -> None:
    rows = state["files"][record["training_file"]]["rows"]
    epochs = record["hyperparameters"].get("n_epochs", 3)
    lines = [
        f"{point['step_number']},{point['metrics']['train_loss']}"
        for point in record["checkpoints"]
    ]
    state["serial"] += 1
    result = files.leave(
        state,
        "step_metrics.csv",
        _encoded("\n".join(["step,train_loss", *lines, ""]), dialect),
        f"{state['serial']:024d}",
        now,
    )
    record.update(
        fine_tuned_model=dialect.tuned_model(record["model"], record["suffix"], record["serial"]),
        finished_at=now,
        trained_tokens=rows * epochs * TOKENS_PER_ROW,
        result_files=[result],
    )
    _tell(record, now, "The job has successfully completed")


def _encoded(table: str, dialect: SimulatedDialect) -> str:
    return base64.b64encode(table.encode()).decode() if dialect.base64_results else table


def _fail(record: Record, now: int, code: str, message: str) -> None:
    error = {"code": code, "message": message, "param": None}
    record.update(status="failed", finished_at=now, error=error)
    _tell(record, now, message, level="error")


def _tell(record: Record, now: int, message: str, data: Any = None, level: str = "info") -> None:
    record["events"].append(
        {
            "object": "fine_tuning.job.event",
            "id": f"ftevent-{record['serial'][:12]}{len(record['events']):04d}",
            "created_at": now,
            "level": level,
            "message": message,
            "type": "metrics" if data else "message",
            "data": data or {},
        }
    )

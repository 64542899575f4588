"""The body of a job creation, checked against the API description."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from ftctl_worker.errors import BadRequestError
from ftctl_worker.forms.answer_form import answer_grammar
from ftctl_worker.graders.parsing import parse_grader
from ftctl_worker.job import JobDraft
from ftctl_worker.queue.job_options import split_options

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ftctl_worker.job import Method

__all__ = ["parse_job"]

_FIELDS = frozenset(
    {
        "model",
        "training_file",
        "validation_file",
        "hyperparameters",
        "suffix",
        "integrations",
        "seed",
        "method",
        "metadata",
    }
)
_Limits = tuple[float, float] | None
_SUPERVISED: dict[str, _Limits] = {
    "n_epochs": (1, 50),
    "batch_size": (1, 256),
    "learning_rate_multiplier": None,
}
_DPO: dict[str, _Limits] = {**_SUPERVISED, "beta": (0, 2)}
_REINFORCEMENT: dict[str, _Limits] = {
    **_SUPERVISED,
    "compute_multiplier": (0.00001, 10),
    "eval_interval": (1, 1_000_000),
    "eval_samples": (1, 64),
}
_BOUNDS: Mapping[Method, dict[str, _Limits]] = {
    "supervised": _SUPERVISED,
    "dpo": _DPO,
    "reinforcement": _REINFORCEMENT,
}
_REWARDED = {"grader", "response_format"}
_EFFORTS = ("default", "low", "medium", "high")
_MAX_SEED = 2**31 - 1


def parse_job(body: object, *, python_graders: bool = False) -> JobDraft:
    """Turn a request body into a draft; hyperparameters that are not given are "auto".

    ``python_graders`` where graders may be code of the client's.

    Raises:
        BadRequestError: the body breaks a rule; ``param`` names the field.
    """
    if not isinstance(body, dict):
        raise BadRequestError("The request body must be a JSON object.")
    _refuse_unknown(body, _FIELDS, "")
    if body.get("integrations"):
        raise BadRequestError(
            "Integrations are not supported by this server.", param="integrations"
        )
    seed = _integer(body, "seed", 0, _MAX_SEED)
    return JobDraft(
        model=_text(body, "model", required=True) or "",
        training_file=_text(body, "training_file", required=True) or "",
        validation_file=_text(body, "validation_file"),
        suffix=_suffix(body),
        seed=secrets.randbelow(_MAX_SEED) if seed is None else seed,
        metadata=_metadata(body.get("metadata")),
        **_read_method(body, python_graders=python_graders),
    )


def _read_method(body: dict[str, Any], *, python_graders: bool) -> dict[str, Any]:
    """Return the fields of a draft that the method and its hyperparameters decide."""
    top = _hyperparameters(body, "", _SUPERVISED)
    method = body.get("method")
    if method is None:
        return _fields("supervised", top, {})
    if not isinstance(method, dict):
        raise BadRequestError("'method' must be an object.", param="method")
    kind = _kind(method.get("type"))
    _refuse_unknown(method, {"type", kind}, "method.")
    holder = method.get(kind)
    if holder is None:
        holder = {}
    if not isinstance(holder, dict):
        raise BadRequestError(f"'method.{kind}' must be an object.", param=f"method.{kind}")
    where = f"method.{kind}"
    rewarded, names = {}, {"hyperparameters"}
    if kind == "reinforcement":
        rewarded = _rewarded(holder, where, python_graders=python_graders)
        holder, names = _without_effort(holder, where), names | _REWARDED
    _refuse_unknown(holder, names, f"{where}.")
    given = _hyperparameters(holder, f"{where}.", _BOUNDS[kind])
    given = given if holder.get("hyperparameters") is not None else {}
    return _fields(kind, top, {**given, **rewarded})


def _rewarded(holder: dict[str, Any], where: str, *, python_graders: bool) -> dict[str, Any]:
    """Return the grader of a reinforcement job, and the form its answers have to have."""
    parse_grader(holder.get("grader"), f"{where}.grader", python=python_graders)
    form = holder.get("response_format")
    if form is None:
        return {"grader": holder["grader"]}
    try:
        answer_grammar({"response_format": form})
    except BadRequestError as error:
        error.param = f"{where}.{error.param}"
        raise
    return {"grader": holder["grader"], "response_format": form}


def _kind(value: object) -> Method:
    for kind in _BOUNDS:
        if value == kind:
            return kind
    known = ", ".join(f"'{name}'" for name in _BOUNDS)
    raise BadRequestError(f"'method.type' must be one of {known}.", param="method.type")


def _without_effort(holder: dict[str, Any], where: str) -> dict[str, Any]:
    """Return the holder without the effort of reasoning models, which this server does not have."""
    given = holder.get("hyperparameters")
    if not isinstance(given, dict):
        return holder
    effort = given.get("reasoning_effort")
    if effort not in (None, "default"):
        known = effort in _EFFORTS
        raise BadRequestError(
            "The models of this server have no 'reasoning_effort'; leave it out."
            if known
            else f"'reasoning_effort' must be one of {', '.join(_EFFORTS)}.",
            param=f"{where}.hyperparameters.reasoning_effort",
            code="unsupported_parameter" if known else None,
        )
    rest = {name: value for name, value in given.items() if name != "reasoning_effort"}
    return {**holder, "hyperparameters": rest}


def _fields(kind: Method, top: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    names = _BOUNDS[kind]
    both = {**dict.fromkeys(names, "auto"), **top, **own}
    return {
        "method": kind,
        "requested": {name: value for name, value in both.items() if name in names},
        "options": {name: value for name, value in both.items() if name not in names},
    }


def _hyperparameters(
    holder: dict[str, Any], prefix: str, bounds: Mapping[str, tuple[float, float] | None]
) -> dict[str, Any]:
    given = holder.get("hyperparameters")
    where = f"{prefix}hyperparameters"
    if given is None:
        given = {}
    if not isinstance(given, dict):
        raise BadRequestError(f"'{where}' must be an object.", param=where)
    own, options = split_options(given, where)
    _refuse_unknown(own, set(bounds), f"{where}.")
    known = {
        name: _hyperparameter(given.get(name, "auto"), f"{where}.{name}", limits)
        for name, limits in bounds.items()
    }
    return {**known, **options}


def _hyperparameter(value: object, param: str, bounds: _Limits) -> float | str:
    if value is None or value == "auto":
        return "auto"
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if bounds is None:
        if not number or not value > 0:  # type: ignore[operator]
            raise BadRequestError(f"'{param}' must be 'auto' or a number above 0.", param=param)
        return float(value)  # type: ignore[arg-type]
    low, high = bounds
    if low < 1:
        if not number or not low < value <= high:  # type: ignore[operator]
            raise BadRequestError(
                f"'{param}' must be 'auto' or a number above {low:g}, at most {high}.", param=param
            )
        return float(value)  # type: ignore[arg-type]
    if not number or value != int(value) or not low <= value <= high:  # type: ignore[call-overload,operator]
        raise BadRequestError(
            f"'{param}' must be 'auto' or an integer from {low} to {high}.", param=param
        )
    return int(value)  # type: ignore[call-overload]


def _metadata(value: object) -> dict[str, str] | None:
    if value is None:
        return None
    if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
        raise BadRequestError("'metadata' must map strings to strings.", param="metadata")
    if len(value) > 16:
        raise BadRequestError("'metadata' takes at most 16 pairs.", param="metadata")
    if any(len(key) > 64 or len(text) > 512 for key, text in value.items()):
        raise BadRequestError(
            "A 'metadata' key takes at most 64 characters and a value at most 512.",
            param="metadata",
        )
    return value


def _suffix(body: dict[str, Any]) -> str | None:
    suffix = _text(body, "suffix")
    if suffix is not None and len(suffix) > 64:
        raise BadRequestError("'suffix' takes 1 to 64 characters.", param="suffix")
    return suffix


def _text(body: dict[str, Any], name: str, *, required: bool = False) -> str | None:
    value = body.get(name)
    if value is None and not required:
        return None
    if value is None:
        raise BadRequestError(f"You must provide '{name}'.", param=name)
    if not isinstance(value, str) or not value:
        raise BadRequestError(f"'{name}' must be a string with at least one character.", param=name)
    return value


def _integer(body: dict[str, Any], name: str, low: int, high: int) -> int | None:
    value = body.get(name)
    if value is None:
        return None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or value != int(value) or not low <= value <= high:
        raise BadRequestError(f"'{name}' must be an integer from {low} to {high}.", param=name)
    return int(value)


def _refuse_unknown(given: dict[str, Any], known: set[str] | frozenset[str], prefix: str) -> None:
    for name in given:
        if name not in known:
            raise BadRequestError(
                f"Unrecognized request argument supplied: {prefix}{name[:100]}",
                param=f"{prefix}{name[:100]}",
                code="unknown_parameter",
            )

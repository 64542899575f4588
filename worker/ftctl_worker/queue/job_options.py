"""What a job may ask for beyond the hyperparameters of OpenAI's API, given beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ftctl_worker.engine_table import ENGINES, TUNINGS
from ftctl_worker.errors import BadRequestError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["split_options"]

_MOST_RANK = 1024
_MOST_MODULES = 64
_MOST_NEW_TOKENS = 8192
_LENGTHS = (16, 1 << 20)
_MOST_GPUS = 64


def split_options(
    hyperparameters: dict[str, Any], where: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the API's hyperparameters, and the worker's own options, checked.

    Raises:
        BadRequestError: an option has a value that makes no sense; ``param`` names it.
    """
    own = {name: value for name, value in hyperparameters.items() if name not in _OPTIONS}
    options = {}
    for name, value in hyperparameters.items():
        if name in _OPTIONS and value is not None:
            options[name] = _OPTIONS[name](value, f"{where}.{name}")
    if options.get("tuning") == "full" and "lora" in options:
        raise BadRequestError(
            f"'{where}.lora' makes no sense where 'tuning' is 'full'; leave one of them out.",
            param=f"{where}.lora",
        )
    return own, options


def _lora(value: object, param: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadRequestError(f"'{param}' must be an object.", param=param)
    for name in value:
        if name not in _LORA:
            known = ", ".join(_LORA)
            raise BadRequestError(
                f"'{param}' takes {known}, not '{str(name)[:100]}'.",
                param=f"{param}.{str(name)[:100]}",
                code="unknown_parameter",
            )
    return {name: _LORA[name](given, f"{param}.{name}") for name, given in value.items()}


def _rank(value: object, param: str) -> int:
    return _whole(value, param, 1, _MOST_RANK)


def _patience(value: object, param: str) -> int:
    return _whole(value, param, 1, 50)


def _new_tokens(value: object, param: str) -> int:
    return _whole(value, param, 1, _MOST_NEW_TOKENS)


def _length(value: object, param: str) -> int:
    return _whole(value, param, *_LENGTHS)


def _gpus(value: object, param: str) -> int:
    return _whole(value, param, 1, _MOST_GPUS)


def _engine(value: object, param: str) -> str:
    return _one_of(value, param, tuple(ENGINES))


def _tuning(value: object, param: str) -> str:
    return _one_of(value, param, TUNINGS)


def _one_of(value: object, param: str, known: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value not in known:
        raise BadRequestError(f"'{param}' must be one of {', '.join(known)}.", param=param)
    return value


def _whole(value: object, param: str, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise BadRequestError(f"'{param}' must be an integer from {low} to {high}.", param=param)
    return value


def _above_zero(value: object, param: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise BadRequestError(f"'{param}' must be a number above 0.", param=param)
    return float(value)


def _share(value: object, param: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise BadRequestError(f"'{param}' must be a number from 0 to below 1.", param=param)
    return float(value)


def _flag(value: object, param: str) -> bool:
    if not isinstance(value, bool):
        raise BadRequestError(f"'{param}' must be true or false.", param=param)
    return value


def _modules(value: object, param: str) -> str | list[str]:
    if value == "all-linear":
        return "all-linear"
    named = isinstance(value, list) and 0 < len(value) <= _MOST_MODULES
    if not named or not all(isinstance(one, str) and one.isidentifier() for one in value):  # type: ignore[attr-defined]
        raise BadRequestError(
            f"'{param}' must be 'all-linear' or a list of module names.", param=param
        )
    return list(value)  # type: ignore[call-overload]


_LORA: dict[str, Callable[[object, str], object]] = {
    "r": _rank,
    "alpha": _above_zero,
    "dropout": _share,
    "target_modules": _modules,
    "use_rslora": _flag,
    "use_dora": _flag,
}
_OPTIONS: dict[str, Callable[[object, str], object]] = {
    "engine": _engine,
    "tuning": _tuning,
    "lora": _lora,
    "learning_rate": _above_zero,
    "early_stopping_patience": _patience,
    "gradient_checkpointing": _flag,
    "max_length": _length,
    "max_completion_tokens": _new_tokens,
    "gpus": _gpus,
    "shard": _flag,
}

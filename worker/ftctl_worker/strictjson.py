"""JSON as RFC 8259 has it: no NaN, no lone surrogates, no bottomless nesting."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["JsonRefusedError", "dumps", "loads"]

_MOST_DIGITS = 300
_MOST_LEVELS = 100


class JsonRefusedError(ValueError):
    """The text is not JSON that can be stored and sent again."""


def loads(text: str | bytes) -> object:
    """Parse one JSON value.

    Raises:
        JsonRefusedError: the text is not UTF-8, not JSON, holds NaN or a number that no double
            can hold, a lone surrogate, or is nested too deeply.
    """
    try:
        value: object = json.loads(
            text, parse_constant=_refuse_constant, parse_float=_finite, parse_int=_finite_integer
        )
        json.dumps(value, ensure_ascii=False).encode("utf-8")
        _refuse_depth(text, value)
    except UnicodeDecodeError as error:
        raise JsonRefusedError("The text is not UTF-8.") from error
    except UnicodeEncodeError as error:
        raise JsonRefusedError("A string holds a lone surrogate.") from error
    except RecursionError as error:
        raise JsonRefusedError("The value is nested too deeply.") from error
    except json.JSONDecodeError as error:
        raise JsonRefusedError(f"{error.msg} at character {error.pos + 1}.") from error
    except ValueError as error:
        raise JsonRefusedError(str(error)) from error
    return value


def dumps(value: object) -> str:
    """Return compact JSON with sorted keys: equal values give equal text."""
    return json.dumps(
        value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False
    )


def _refuse_depth(text: str | bytes, value: object) -> None:
    """Refuse what whoever renders, copies or checks the value could not follow to the bottom."""
    braces, brackets = ("{", "[") if isinstance(text, str) else (b"{", b"[")
    if text.count(braces) + text.count(brackets) <= _MOST_LEVELS:  # type: ignore[arg-type]
        return
    level = [value]
    for _ in range(_MOST_LEVELS):
        level = [one for outer in level for one in _inside(outer) if isinstance(one, dict | list)]
        if not level:
            return
    raise ValueError("The value is nested too deeply.")


def _inside(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number.")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"The number {text[:20]} is too large.")
    return number


def _finite_integer(text: str) -> int:
    # Whoever reads a number may want it as a float, which has no room for more.
    if len(text) > _MOST_DIGITS:
        raise ValueError(f"The number {text[:20]}... is too large.")
    return int(text)

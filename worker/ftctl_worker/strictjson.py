"""JSON as RFC 8259 has it: no NaN, no lone surrogates, no bottomless nesting."""

from __future__ import annotations

import json
import math
from typing import NoReturn

__all__ = ["JsonRefusedError", "dumps", "loads"]


class JsonRefusedError(ValueError):
    """The text is not JSON that can be stored and sent again."""


def loads(text: str | bytes) -> object:
    """Parse one JSON value.

    Raises:
        JsonRefusedError: the text is not UTF-8, not JSON, holds NaN or an infinite number, a
            lone surrogate, or is nested too deeply.
    """
    try:
        value: object = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
        json.dumps(value, ensure_ascii=False).encode("utf-8")
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


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number.")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"The number {text[:20]} is too large.")
    return number

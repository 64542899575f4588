"""The formula of a multi grader: arithmetic over the scores of its parts, and nothing else."""

from __future__ import annotations

import ast
import math
import operator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Formula", "FormulaError"]

_LONGEST = 2000
_BINARY: Mapping[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: math.pow,
}
_FUNCTIONS: Mapping[str, Callable[..., float]] = {
    "min": min, "max": max, "abs": abs, "floor": math.floor, "ceil": math.ceil, "exp": math.exp,
    "sqrt": math.sqrt, "log": math.log,
}  # fmt: skip


class FormulaError(ValueError):
    """The formula is no arithmetic over the names it may use."""


class Formula:
    """A formula that was checked when it was read."""

    def __init__(self, text: str, names: frozenset[str]) -> None:
        """Parse ``text`` over ``names``.

        Raises:
            FormulaError: it holds anything else.
        """
        self._names = names
        try:
            if len(text) > _LONGEST:
                raise FormulaError(f"it is longer than {_LONGEST} characters")
            self._tree = ast.parse(text, mode="eval").body
            self._value(self._tree, dict.fromkeys(names, 0.5))
        except ArithmeticError:
            pass  # with other scores there may be a value
        except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError) as error:
            raise FormulaError(f"'{text[:200]}' cannot be computed: {error}") from error

    def value(self, scores: Mapping[str, float]) -> float:
        """Return the value for these scores.

        Raises:
            ArithmeticError, ValueError: there is none.
        """
        found = float(self._value(self._tree, scores))
        if not math.isfinite(found):
            raise ValueError("it is not finite")
        return found

    def _value(self, node: Any, scores: Mapping[str, float]) -> float:
        match node:
            case ast.Constant(value=int() | float() as number):
                return float(number)
            case ast.Name(id=name) if name in self._names:
                return scores[name]
            case ast.UnaryOp(op=ast.USub(), operand=inner):
                return -self._value(inner, scores)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
                return _BINARY[type(op)](self._value(left, scores), self._value(right, scores))
            case ast.Call(func=ast.Name(id=name), args=given, keywords=[]) if name in _FUNCTIONS:
                return float(_FUNCTIONS[name](*(self._value(each, scores) for each in given)))
        raise FormulaError(f"it holds more than arithmetic over {', '.join(sorted(self._names))}")

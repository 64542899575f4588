"""The formula of a multi grader: arithmetic over named scores, and nothing else."""

from __future__ import annotations

import ast
import math
import operator
from typing import TYPE_CHECKING, Any

from orchestrator.domain.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_BINARY: Mapping[type, Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
_FUNCTIONS: Mapping[str, Callable[..., float]] = {
    "min": min,
    "max": max,
    "abs": abs,
    "floor": math.floor,
    "ceil": math.ceil,
    "exp": math.exp,
    "sqrt": math.sqrt,
    "log": math.log,
}


class Expression:
    """A formula, checked when it is read."""

    def __init__(self, text: str, names: Iterable[str]) -> None:
        """Parse it.

        Raises:
            UsageError: anything but arithmetic over those names.
        """
        self._text, self._names = text, frozenset(names)
        try:
            self._tree = ast.parse(text, mode="eval").body
            self._value(self._tree, dict.fromkeys(self._names, 0.5))
        except (SyntaxError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise UsageError(f"The formula '{text}' cannot be computed: {error}.") from error
        except ArithmeticError:
            # It may divide by a score that is 0.5 here and something else in truth.
            pass

    def value(self, scores: Mapping[str, float]) -> float:
        """The number for these scores.

        Raises:
            ArithmeticError, ValueError: there is none.
        """
        return float(self._value(self._tree, scores))

    def _value(self, node: Any, scores: Mapping[str, float]) -> float:
        match node:
            case ast.Constant(value=int() | float() as number):
                return float(number)
            case ast.Name(id=name) if name in self._names:
                return scores[name]
            case ast.UnaryOp(op=ast.USub(), operand=inner):
                return -self._value(inner, scores)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
                ends = self._value(left, scores), self._value(right, scores)
                return _BINARY[type(op)](*ends)
            case ast.Call(func=ast.Name(id=name), args=given, keywords=[]) if name in _FUNCTIONS:
                return float(_FUNCTIONS[name](*(self._value(each, scores) for each in given)))
        raise ValueError(f"it holds more than arithmetic over {', '.join(sorted(self._names))}")

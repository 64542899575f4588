"""From a grader in the words of the API to one that grades."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ftctl_worker.errors import BadRequestError
from ftctl_worker.graders.formula import Formula, FormulaError
from ftctl_worker.graders.grader import Grade, Grader, GradingError
from ftctl_worker.graders.python_grader import MOST_SOURCE, PythonGrader
from ftctl_worker.graders.texts import CHECKS, METRICS, StringCheck, TextSimilarity

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["parse_grader"]

_MOST_PARTS = 16
_MOST_TEXT = 100_000


def parse_grader(value: object, where: str, *, python: bool) -> Grader:
    """Return the grader that ``value`` describes; ``python`` where its own code may be run.

    Raises:
        BadRequestError: it is malformed, or this server does not run its kind.
    """
    return _Parser(python=python).read(value, where)


@dataclass(frozen=True, kw_only=True)
class _Multi:
    """Several graders, and a formula over their rewards."""

    name: str
    graders: Mapping[str, Grader]
    formula: Formula

    @property
    def templates(self) -> tuple[str, ...]:
        """Those of all parts."""
        return tuple(text for grader in self.graders.values() for text in grader.templates)

    def grade(self, fields: Mapping[str, Any]) -> Grade:
        """Grade with every part."""
        parts = {name: grader.grade(fields).reward for name, grader in self.graders.items()}
        try:
            return Grade(self.formula.value(parts), parts)
        except (ArithmeticError, ValueError) as error:
            raise GradingError("other_error", f"the formula has no value: {error}") from error


@dataclass(frozen=True, kw_only=True)
class _Parser:
    python: bool

    def read(self, value: object, where: str, *, inside: bool = False) -> Grader:
        if not isinstance(value, dict):
            raise BadRequestError(f"'{where}' must be an object.", param=where)
        kinds: dict[str, Callable[[dict[str, Any], str], Grader]] = {
            "string_check": _string_check,
            "text_similarity": _text_similarity,
            "python": self._python,
            "multi": self._multi,
        }
        kind = value.get("type")
        if kind in ("score_model", "label_model"):
            raise BadRequestError(
                f"A grader of the type '{kind}' asks a model, which this server does not do while "
                "it trains; use string_check, text_similarity, python or multi.",
                param=f"{where}.type",
                code="unsupported_grader",
            )
        if not isinstance(kind, str) or kind not in kinds or (inside and kind == "multi"):
            known = ", ".join(name for name in kinds if not inside or name != "multi")
            raise BadRequestError(f"'{where}.type' must be one of {known}.", param=f"{where}.type")
        _text(value, "name", where)
        return kinds[kind](value, where)

    def _python(self, value: dict[str, Any], where: str) -> Grader:
        if not self.python:
            raise BadRequestError(
                "This server runs no code of clients; its operator can allow it by "
                "'ftctl-worker serve --allow-python-graders'.",
                param=f"{where}.type",
                code="unsupported_grader",
            )
        source = _text(value, "source", where)
        if len(source) > MOST_SOURCE:
            raise BadRequestError(
                f"'{where}.source' takes at most {MOST_SOURCE:,} characters.",
                param=f"{where}.source",
            )
        try:
            compile(source, "grader", "exec")
        except (SyntaxError, ValueError) as error:
            raise BadRequestError(
                f"'{where}.source' is no Python: {error}", param=f"{where}.source"
            ) from error
        return PythonGrader(name=value["name"], source=source)

    def _multi(self, value: dict[str, Any], where: str) -> Grader:
        place = f"{where}.graders"
        given = value.get("graders")
        if isinstance(given, list):
            given = {str(one.get("name")) if isinstance(one, dict) else "": one for one in given}
        if not isinstance(given, dict) or not 0 < len(given) <= _MOST_PARTS:
            raise BadRequestError(
                f"'{place}' must map 1 to {_MOST_PARTS} names to graders.", param=place
            )
        graders = {
            str(name): self.read(one, f"{place}.{str(name)[:64]}", inside=True)
            for name, one in given.items()
        }
        formula = _text(value, "calculate_output", where)
        try:
            parsed = Formula(formula, frozenset(graders))
        except FormulaError as error:
            param = f"{where}.calculate_output"
            raise BadRequestError(
                f"'{param}': {error}", param=param, code="formula_error"
            ) from error
        return _Multi(name=value["name"], graders=graders, formula=parsed)


def _string_check(value: dict[str, Any], where: str) -> Grader:
    return StringCheck(
        name=value["name"],
        input=_text(value, "input", where),
        reference=_text(value, "reference", where, empty=True),
        operation=_one_of(value, "operation", where, tuple(CHECKS)),
    )


def _text_similarity(value: dict[str, Any], where: str) -> Grader:
    if value.get("evaluation_metric") in ("cosine", "meteor"):
        raise BadRequestError(
            f"The metric '{value['evaluation_metric']}' needs what this server does not carry (a "
            f"model of embeddings, or a dictionary); use one of {', '.join(METRICS)}.",
            param=f"{where}.evaluation_metric",
            code="unsupported_grader",
        )
    return TextSimilarity(
        name=value["name"],
        input=_text(value, "input", where),
        reference=_text(value, "reference", where, empty=True),
        metric=_one_of(value, "evaluation_metric", where, tuple(METRICS)),
    )


def _text(value: dict[str, Any], name: str, where: str, *, empty: bool = False) -> str:
    found = value.get(name)
    if not isinstance(found, str) or (not found and not empty) or len(found) > _MOST_TEXT:
        raise BadRequestError(
            f"'{where}.{name}' must be a text of at most {_MOST_TEXT:,} characters.",
            param=f"{where}.{name}",
        )
    return found


def _one_of(value: dict[str, Any], name: str, where: str, known: tuple[str, ...]) -> str:
    found = value.get(name)
    if not isinstance(found, str) or found not in known:
        raise BadRequestError(
            f"'{where}.{name}' must be one of {', '.join(known)}.", param=f"{where}.{name}"
        )
    return found

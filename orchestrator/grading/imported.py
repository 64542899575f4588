"""OpenAI's grader JSON, run here: the hosted service that ran it is shut down, the files remain."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.domain.errors import UsageError
from orchestrator.grading.bleu import bleu
from orchestrator.grading.expression import Expression
from orchestrator.grading.function import Function
from orchestrator.grading.grader import Grader, Item, ItemGrader, ModelGrader, Score
from orchestrator.grading.overlap import Fuzzy, Rouge
from orchestrator.grading.score_model import ScoreModel, Templated
from orchestrator.grading.templates import NoSuchField, fields_of, fill

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_CHECKS: Mapping[str, Callable[[str, str], bool]] = {
    "eq": lambda given, wanted: given == wanted,
    "ne": lambda given, wanted: given != wanted,
    "like": lambda given, wanted: wanted in given,
    "ilike": lambda given, wanted: wanted.casefold() in given.casefold(),
}


@dataclass(frozen=True, kw_only=True)
class StringCheck(Templated):
    """string_check: eq, ne, like (contains) or ilike (the same, whatever the case)."""

    input: str
    reference: str
    operation: str

    def grade_item(self, item: Item) -> Score:
        """1 when the check holds."""
        fields = fields_of(item)
        try:
            given, wanted = fill(self.input, fields), fill(self.reference, fields)
        except NoSuchField as missing:
            return _lacks(missing)
        passed = _CHECKS[self.operation](given, wanted)
        return Score(value=float(passed), passed=passed, reason=f"{self.operation}: {passed}")


@dataclass(frozen=True, kw_only=True)
class TextSimilarity(Templated):
    """text_similarity, by the named metric."""

    input: str
    reference: str
    metric: Grader

    def grade_item(self, item: Item) -> Score:
        """Between 0 and 1."""
        fields = fields_of(item)
        try:
            return self.metric.grade(fill(self.input, fields), fill(self.reference, fields))
        except NoSuchField as missing:
            return _lacks(missing)


@dataclass(frozen=True, kw_only=True)
class Multi(Templated):
    """multi: several graders and a formula over their scores."""

    graders: Mapping[str, Grader]
    formula: Expression
    model: str = ""
    profile: str | None = None

    @property
    def looks(self) -> int:
        """Questions of every grader that asks a model."""
        return sum(g.looks for g in self.graders.values() if isinstance(g, ModelGrader))

    def question(self, item: Item, look: int) -> Sequence[Mapping[str, Any]]:
        """The question of whichever grader has that turn."""
        for grader in self.graders.values():
            if isinstance(grader, ModelGrader):
                if look < grader.looks:
                    return grader.question(item, look)
                look -= grader.looks
        raise IndexError(look)

    def conclude(self, item: Item, replies: Sequence[str]) -> Score:
        """The formula over every score; one that is missing leaves none."""
        left = list(replies)
        values: dict[str, float] = {}
        for name, grader in self.graders.items():
            found = self._one(grader, item, left)
            if found.value is None:
                return Score(value=None, reason=f"{name}: {found.reason}")
            values[name] = found.value
        try:
            value = self.formula.value(values)
        except (ArithmeticError, ValueError) as error:
            return Score(value=None, reason=f"the formula gave no number: {error}")
        if not -1e-9 <= value <= 1 + 1e-9:
            return Score(value=None, reason=f"the formula gave {value:g}, not 0 to 1")
        shown = ", ".join(f"{name} {one:.2f}" for name, one in values.items())
        return Score(value=min(1.0, max(0.0, value)), reason=shown)

    def _one(self, grader: Grader, item: Item, replies: list[str]) -> Score:
        if isinstance(grader, ModelGrader):
            mine = [replies.pop(0) for _ in range(grader.looks)]
            return grader.conclude(item, mine)
        if isinstance(grader, ItemGrader):
            return grader.grade_item(item)
        return grader.grade(item.text, item.sample.reference)


@dataclass(frozen=True, kw_only=True)
class PlainMulti(Templated):
    """The same where no model is asked."""

    multi: Multi

    def grade_item(self, item: Item) -> Score:
        """The formula over every score."""
        return self.multi.conclude(item, [])


def read_grader(argument: str | None) -> Grader:
    """The grader `file:grader.json`.

    Raises:
        UsageError: no such file, or a grader that cannot be run here.
    """
    path = Path(argument or "")
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"'{path}' holds no grader: {error}.", hint="--grader file:grader.json"
        ) from error
    return from_json(plain)


def from_json(plain: Any) -> Grader:
    """A grader from OpenAI's JSON; a request body with a `grader` inside is taken, too.

    Raises:
        UsageError: what it says cannot be run here.
    """
    if not isinstance(plain, dict):
        raise UsageError("A grader is a JSON object with a type.")
    plain = plain.get("grader", plain)
    makers = {
        "string_check": _string_check,
        "text_similarity": _text_similarity,
        "score_model": _score_model,
        "label_model": _score_model,
        "python": _python,
        "multi": _multi,
    }
    kind = plain.get("type")
    if kind not in makers:
        raise UsageError(f"A grader of type '{kind}' cannot be run; known are {', '.join(makers)}.")
    try:
        return makers[kind](plain)
    except (KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"The grader '{plain.get('name')}' of type {kind} lacks {error}."
        ) from error


def _name(plain: Mapping[str, Any]) -> str:
    return re.sub(r"\W+", "_", str(plain.get("name") or plain["type"])).strip("_") or "grader"


def _string_check(plain: Mapping[str, Any]) -> Grader:
    if plain["operation"] not in _CHECKS:
        raise UsageError(
            f"string_check knows {', '.join(_CHECKS)}, but not '{plain['operation']}'."
        )
    return StringCheck(
        name=_name(plain),
        input=plain["input"],
        reference=plain["reference"],
        operation=plain["operation"],
    )


def _text_similarity(plain: Mapping[str, Any]) -> Grader:
    wanted = str(plain["evaluation_metric"])
    rouge = re.fullmatch(r"rouge_([1-5l])", wanted)
    if rouge:
        metric: Grader = Rouge(order=None if rouge.group(1) == "l" else int(rouge.group(1)))
    elif wanted == "fuzzy_match":
        metric = Fuzzy()
    elif wanted == "bleu":
        metric = bleu()
    else:
        raise UsageError(
            f"text_similarity by {wanted} cannot be run here.",
            hint="fuzzy_match, bleu, rouge_1 to rouge_5 or rouge_l can",
        )
    return TextSimilarity(
        name=_name(plain), input=plain["input"], reference=plain["reference"], metric=metric
    )


def _score_model(plain: Mapping[str, Any]) -> Grader:
    low, high = plain.get("range") or (0.0, 1.0)
    passing = set(plain.get("passing_labels", ()))
    return ScoreModel(
        name=_name(plain),
        messages=plain["input"],
        model=plain["model"],
        span=(float(low), float(high)),
        labels={label: float(label in passing) for label in plain.get("labels", ())},
    )


def _python(plain: Mapping[str, Any]) -> Grader:
    return Function({"source": plain["source"], "function": "grade"}, name=_name(plain))


def _multi(plain: Mapping[str, Any]) -> Grader:
    given = plain["graders"]
    parts = given if isinstance(given, dict) else {each["name"]: each for each in given}
    graders = {name: from_json(part) for name, part in parts.items()}
    formula = Expression(str(plain["calculate_output"]), graders)
    models = [g for g in graders.values() if isinstance(g, ModelGrader)]
    if len({(g.model, g.profile) for g in models}) > 1:
        raise UsageError("A multi grader asks one model; this one names several.")
    model = models[0].model if models else ""
    multi = Multi(name=_name(plain), graders=graders, formula=formula, model=model)
    return multi if models else PlainMulti(name=multi.name, multi=multi)


def _lacks(missing: NoSuchField) -> Score:
    return Score(value=None, reason=f"the row has no {missing}")

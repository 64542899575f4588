"""A person's answers to the checklist, as a TOML file: the template, and reading it back."""

from __future__ import annotations

import tomllib
from datetime import date
from typing import TYPE_CHECKING, Any

from orchestrator.domain.checklist import Answers, Checklist, Given, Status
from orchestrator.domain.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def template(checklist: Checklist) -> str:
    """A file to fill in, with every question as a comment."""
    lines = [
        "# Answers to the checklist of a decision report: ftctl report JOB --answers FILE",
        "# They are shown beside your name and the date.",
        'name = ""',
        "# date = 2026-11-20",
        "",
    ]
    for criterion in checklist.criteria:
        if criterion.by == "human":
            lines += [
                f'[answers."{criterion.id}"]',
                f"# {criterion.ask}",
                'status = "unknown"  # pass | fail | unknown | n/a',
                'note = ""',
                "",
            ]
    lines += [
        "[numbers]",
        "# Take away the # and give the number; what is not given stays unknown.",
    ]
    for name, ask in checklist.numbers.items():
        lines += [f"# {ask}", f"# {name} = "]
    return "\n".join(lines) + "\n"


def read_answers(path: Path, checklist: Checklist) -> Answers:
    """The answers in a file.

    Raises:
        UsageError: it is not TOML, or it answers what was not asked.
    """
    try:
        plain = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path} is not valid TOML: {error}.", hint="ftctl report JOB --answers-template"
        ) from error
    given = _table(plain, "answers")
    answers = Answers(
        name=str(plain.get("name", "")),
        date=_date(plain.get("date")),
        given={name: _given(name, answer, checklist) for name, answer in given.items()},
        numbers=read_numbers(_table(plain, "numbers"), checklist),
    )
    answered = any(answer.status is not Status.UNKNOWN for answer in answers.given.values())
    if answered and not (answers.name.strip() and answers.date):
        raise UsageError(f"{path} answers without saying who and when.", hint="fill name and date")
    return answers


def read_numbers(table: Mapping[str, Any], checklist: Checklist) -> dict[str, float]:
    """Numbers by name, of an answers file or of [costs] in ftctl.toml.

    Raises:
        UsageError: a name that the checklist does not ask for, or no number.
    """
    for name, value in table.items():
        if name not in checklist.numbers:
            known = ", ".join(checklist.numbers)
            raise UsageError(f"'{name}' is not asked for; known numbers are {known}.")
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e15:
            raise UsageError(f"'{name}' must be a number that is not negative.")
    return {name: float(value) for name, value in table.items()}


def _given(name: str, answer: object, checklist: Checklist) -> Given:
    human = [criterion.id for criterion in checklist.criteria]
    if name not in human:
        raise UsageError(f"'{name}' is no criterion of the checklist.")
    if not isinstance(answer, dict) or answer.get("status") not in list(Status):
        raise UsageError(f'The status of "{name}" must be one of: {", ".join(Status)}.')
    return Given(Status(answer["status"]), str(answer.get("note", "")))


def _table(plain: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = plain.get(name, {})
    if not isinstance(found, dict):
        raise UsageError(f"[{name}] is not a table.")
    return found


def _date(value: object) -> date | None:
    if value is None or isinstance(value, date):
        return value
    raise UsageError("date must be a date, such as 2026-11-20, without quotes.")

"""A person's answers to the checklist, as a TOML file: writing it, and reading it back."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any

from orchestrator.domain.deciding.checklist import Answers, Checklist, Given, Status
from orchestrator.domain.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


_SHARES = frozenset({"batch_share", "cache_hit_rate"})


def template(checklist: Checklist) -> str:
    """A file to fill in, with every question as a comment."""
    return written(Answers(), checklist)


def written(answers: Answers, checklist: Checklist) -> str:
    """Answers as a file that reads back the same, with every question as a comment."""
    lines = [
        "# Answers to the checklist of a decision report: ftctl report JOB --answers FILE",
        "# They are shown beside your name and the date.",
        f"name = {_text(answers.name)}",
        f"date = {answers.date.isoformat()}" if answers.date else "# date = 2026-11-20",
        "",
    ]
    asked = {c.id: c.ask or c.rule for c in checklist.criteria if c.by == "human"}
    others = {name: "" for name in sorted(answers.given) if name not in asked}
    for name, ask in {**asked, **others}.items():
        lines += _answer(name, ask, answers.given.get(name, Given(Status.UNKNOWN)))
    lines += [
        "[numbers]",
        "# Take away the # and give the number; what is not given stays unknown.",
    ]
    for name, ask in checklist.numbers.items():
        value = answers.numbers.get(name)
        lines += [f"# {ask}", f"# {name} = " if value is None else f"{name} = {value!r}"]
    if answers.policy:
        lines += ["", "[policy]", *(f"{k} = {v!r}" for k, v in sorted(answers.policy.items()))]
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
            f"{path} is not valid TOML: {error}.", hint="ftctl checklist init answers.toml"
        ) from error
    given = _table(plain, "answers")
    answers = Answers(
        name=str(plain.get("name", "")),
        date=_date(plain.get("date")),
        given={name: _given(name, answer, checklist) for name, answer in given.items()},
        numbers=read_numbers(_table(plain, "numbers"), checklist),
        policy=read_policy(_table(plain, "policy"), checklist),
    )
    answered = [a for a in answers.given.values() if a.status is not Status.UNKNOWN]
    signed = answers.name.strip() and answers.date
    if not signed and any(not (answer.by and answer.date) for answer in answered):
        raise UsageError(f"{path} answers without saying who and when.", hint="fill name and date")
    return answers


def answer(
    answers: Answers, checklist: Checklist, name: str, value: str, *, note: str, by: str, on: date
) -> Answers:
    """The same answers with one more: a criterion's status, or a number.

    Raises:
        UsageError: what is named is not asked, or the value makes no sense, or nobody signs.
    """
    if name in checklist.numbers or name in checklist.policy:
        try:
            number = float(value.replace(",", ""))
        except ValueError as error:
            raise UsageError(f"'{value}' is no number.") from error
        if name in checklist.numbers:
            return replace(
                answers,
                numbers={**answers.numbers, **read_numbers({name: number}, checklist)},
                name=answers.name or by,
                date=answers.date or on,
            )
        return replace(answers, policy={**answers.policy, **read_policy({name: number}, checklist)})
    if not by.strip():
        raise UsageError("An answer carries the name of who gave it.", hint="--by 'Ada Example'")
    given = _given(name, {"status": value, "note": note}, checklist)
    signed = given._replace(by=by.strip(), date=on)
    return replace(
        answers,
        given={**answers.given, name: signed},
        name=answers.name or by,
        date=answers.date or on,
    )


def read_numbers(table: Mapping[str, Any], checklist: Checklist) -> dict[str, float]:
    """Numbers by name, of an answers file or of [costs] in ftctl.toml.

    Raises:
        UsageError: a name that the checklist does not ask for, or no number.
    """
    return _numbers(table, checklist.numbers, "is not asked for; known numbers are")


def read_policy(table: Mapping[str, Any], checklist: Checklist) -> dict[str, float]:
    """Thresholds that a person sets otherwise.

    Raises:
        UsageError: a threshold that there is not, or no number.
    """
    return _numbers(table, checklist.policy, "is no threshold; known ones are")


def _numbers(
    table: Mapping[str, Any], known: Mapping[str, object], problem: str
) -> dict[str, float]:
    for name, value in table.items():
        if name not in known:
            raise UsageError(f"'{name}' {problem} {', '.join(known)}.")
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e15:
            raise UsageError(f"'{name}' must be a number that is not negative.")
        if name in _SHARES and value > 1:
            raise UsageError(f"'{name}' is a share, between 0 and 1.", hint=f"{name} = 0.5")
    return {name: float(value) for name, value in table.items()}


def _answer(name: str, ask: str, given: Given) -> list[str]:
    lines = [f'[answers."{name}"]']
    lines += [f"# {ask}"] if ask else []
    lines.append(f'status = "{given.status.value}"  # pass | fail | unknown | n/a')
    lines.append(f"note = {_text(given.note)}")
    if given.by and given.date:
        lines += [f"by = {_text(given.by)}", f"date = {given.date.isoformat()}"]
    return [*lines, ""]


def _given(name: str, answer: object, checklist: Checklist) -> Given:
    if name not in checklist.known:
        raise UsageError(f"'{name}' is no criterion of the checklist.")
    if not isinstance(answer, dict) or answer.get("status") not in list(Status):
        raise UsageError(f'The status of "{name}" must be one of: {", ".join(Status)}.')
    return Given(
        Status(answer["status"]),
        str(answer.get("note", "")),
        str(answer.get("by", "")),
        _date(answer.get("date")),
    )


def _text(text: str) -> str:
    """A TOML basic string: as in JSON, but that DEL is escaped, too."""
    clean = text.encode("utf-8", "replace").decode("utf-8")
    return json.dumps(clean, ensure_ascii=False).replace("\x7f", "\\u007f")


def _table(plain: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = plain.get(name, {})
    if not isinstance(found, dict):
        raise UsageError(f"[{name}] is not a table.")
    return found


def _date(value: object) -> date | None:
    if value is None or isinstance(value, date):
        return value
    raise UsageError("date must be a date, such as 2026-11-20, without quotes.")

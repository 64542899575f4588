"""The user's own prices and dates: the tables `[[prices]]` and `[[lifecycle]]` of ftctl.toml.

A row that makes no sense stops the command: a price that is silently not used is worse than none.
"""

from __future__ import annotations

import difflib
import math
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator.domain.errors import ConfigurationError
from orchestrator.domain.jobs.job import Method
from orchestrator.domain.jobs.lifecycle import Origin, OwnDates, Said
from orchestrator.domain.money.prices import Price

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

UNITS: Mapping[str, str] = {
    "train": "million_tokens",
    "input": "million_tokens",
    "cached_input": "million_tokens",
    "output": "million_tokens",
    "train_hour": "hour",
    "host": "hour",
    "gpu_hour": "hour",
}
TIERS = ("standard", "batch", "global", "regional", "datazone", "developer")
NO_END = "none"

_PRICE_KEYS = ("provider", "model", "kind", "usd", "unit", "tier", "source", "read_on")
_DAYS = ("training_ends", "serving_ends", "base_ends")
_DATE_KEYS = (
    *("provider", "model", *_DAYS, "trainable", "methods", "replacement", "note"),
    *("source", "read_on"),
)
_PRICE_EXAMPLE = (
    '[[prices]] provider = "azure", model = "ft:gpt-4.1-mini", kind = "host", usd = 1.20,'
    " read_on = 2026-11-20"
)
_DATE_EXAMPLE = (
    '[[lifecycle]] provider = "azure", model = "gpt-4.1-mini", training_ends = 2027-06-01,'
    " read_on = 2026-11-20"
)


class _Row(NamedTuple):
    """One row, where it stands, and what a right one looks like."""

    values: Mapping[str, Any]
    place: str
    example: str

    def wrong(self, what: str) -> ConfigurationError:
        return ConfigurationError(f"{self.place} {what}.", hint=f"like {self.example}")


def own_prices(rows: Any, file: object) -> list[Price]:
    """The user's prices, in dollars.

    Args:
        rows: what ftctl.toml holds under `prices`.
        file: where that is, for error messages.

    Raises:
        ConfigurationError: a row that makes no sense, with its place and the nearest right word.
    """
    found = [_price(row) for row in _rows(rows, "prices", file, _PRICE_KEYS, _PRICE_EXAMPLE)]
    _once([(each.provider, each.model, each.kind, each.tier) for each in found], "prices", file)
    return found


def own_dates(rows: Any, file: object) -> list[OwnDates]:
    """The user's dates. `"none"` instead of a day says that no end is announced.

    Args:
        rows: what ftctl.toml holds under `lifecycle`.
        file: where that is, for error messages.

    Raises:
        ConfigurationError: a row that makes no sense, with its place and the nearest right word.
    """
    found = [_dates(row) for row in _rows(rows, "lifecycle", file, _DATE_KEYS, _DATE_EXAMPLE)]
    _once([(each.provider, each.model) for each in found], "lifecycle", file)
    return found


def _rows(rows: Any, table: str, file: object, keys: Sequence[str], example: str) -> Iterable[_Row]:
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ConfigurationError(
            f"{table} in {file} must be a list of tables: write [[{table}]] above each row.",
            hint=f"like {example}",
        )
    for number, values in enumerate(rows, 1):
        row = _Row(values, f"[[{table}]] row {number} in {file}", example)
        for key in values:
            if key not in keys:
                raise row.wrong(f"has a key '{key}', which is none of {_words(key, keys)}")
        yield row


def _once(keys: Sequence[tuple[str, ...]], table: str, file: object) -> None:
    for number, key in enumerate(keys, 1):
        if key in keys[: number - 1]:
            first = keys.index(key) + 1
            raise ConfigurationError(
                f"[[{table}]] row {number} in {file} speaks of the same as row {first}:"
                f" {' '.join(key)}.",
                hint="keep one of them",
            )


def _price(row: _Row) -> Price:
    kind = _one_of(row, "kind", tuple(UNITS))
    provider = _text(row, "provider")
    unit = UNITS[kind]
    if row.values.get("unit", unit) != unit:
        raise row.wrong(f"has the unit '{row.values['unit']}', and {kind} is priced per {unit}")
    usual = "global" if provider == "azure" and kind != "gpu_hour" else "standard"
    return Price(
        provider=provider,
        model=_text(row, "model"),
        kind=kind,
        usd=_usd(row),
        unit=unit,
        tier=_one_of(row, "tier", TIERS) if "tier" in row.values else usual,
        source=_text(row, "source") if "source" in row.values else "you",
        read_on=_read_on(row),
        own=True,
    )


def _dates(row: _Row) -> OwnDates:
    changes: dict[str, Any] = {
        name: _day(row, name, none=True) for name in _DAYS if name in row.values
    }
    if "trainable" in row.values:
        if not isinstance(row.values["trainable"], bool):
            raise row.wrong("must say trainable = true or trainable = false")
        changes["trainable"] = row.values["trainable"]
    if "methods" in row.values:
        changes["methods"] = _methods(row)
    changes |= {name: _text(row, name) for name in ("replacement", "note") if name in row.values}
    if not changes:
        raise row.wrong(f"says nothing: it has none of {', '.join(_DAYS)}, trainable, methods")
    source = _text(row, "source") if "source" in row.values else "you"
    return OwnDates(
        provider=_text(row, "provider"),
        model=_text(row, "model"),
        changes=changes,
        said=Said(Origin.OWN, source, _read_on(row)),
    )


def _text(row: _Row, key: str) -> str:
    value = row.values.get(key)
    if not isinstance(value, str) or not value.strip():
        raise row.wrong(f"needs {key}, a text")
    return value.strip()


def _one_of(row: _Row, key: str, known: Sequence[str]) -> str:
    value = _text(row, key)
    if value not in known:
        raise row.wrong(f"has the {key} '{value}', which is none of {_words(value, known)}")
    return value


def _usd(row: _Row) -> float:
    value = row.values.get("usd")
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(float(value or 0)) or float(value or 0) < 0:
        raise row.wrong("needs usd, dollars as a number from 0 up")
    return float(value or 0)


def _methods(row: _Row) -> tuple[str, ...]:
    value, known = row.values["methods"], [str(method) for method in Method]
    listed = isinstance(value, list) and value
    if not listed or not all(isinstance(each, str) and each in known for each in value):
        raise row.wrong(f"needs methods to be a list of {', '.join(known)}")
    return tuple(value)


def _read_on(row: _Row) -> date:
    found = _day(row, "read_on", none=False)
    assert found is not None
    return found


def _day(row: _Row, key: str, *, none: bool) -> date | None:
    value = row.values.get(key)
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    if none and value == NO_END:
        return None
    try:
        return date.fromisoformat(value if isinstance(value, str) else "")
    except ValueError:
        other = f' or "{NO_END}"' if none else ""
        raise row.wrong(f"needs {key}, a day like 2026-11-20{other}") from None


def _words(word: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return ", ".join(known) + (f"; the nearest is '{near[0]}'" if near else "")

"""Until when models train and answer: dated rows, what providers say, and what the user knows better.

The user's own rows come first, then what the provider itself said of a model, then the dated file
that ships with ftctl. A model of which nothing is known is not refused anywhere: the provider says no
in time, and a list that is weeks old must not.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator.domain.jobs.model_names import base_model, is_tuned, same_model

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from orchestrator.domain.jobs.job import Job

SOON_DAYS = 182
WARN_DAYS = 90
ANYTHING = "*"


class Origin(StrEnum):
    """Who says so."""

    FILE = "file"  #: the dated file that ships with ftctl
    PROVIDER = "provider"  #: the provider's own list of models
    OWN = "ftctl.toml"  #: the user


class Said(NamedTuple):
    """Who says something, where, and when it was read."""

    origin: Origin
    source: str
    read_on: date


class Ending(NamedTuple):
    """The day something ends, and who says so; `day` is None when no end is announced."""

    day: date | None
    said: Said

    def is_over(self, today: date) -> bool:
        """Whether that day has come."""
        return self.day is not None and self.day <= today

    def days_left(self, today: date) -> int | None:
        """Days until then, negative when it is over; None when no end is announced."""
        return None if self.day is None else (self.day - today).days


@dataclass(frozen=True, kw_only=True)
class Retirement:
    """What is announced for one base model at one provider; a date is None when none is.

    Attributes:
        model: the base model's name; a trailing * stands for anything.
        training_ends: from that day on no new training job is taken.
        serving_ends: from that day on models tuned from it no longer answer.
        base_ends: from that day on the base model itself no longer answers.
        trainable: False when it never took training jobs there.
        methods: what it can be trained with; empty when that is not known.
        replacement: what the provider names instead.
        said: who says so, field by field, where it is not the dated file.
    """

    provider: str
    model: str
    training_ends: date | None = None
    serving_ends: date | None = None
    base_ends: date | None = None
    trainable: bool = True
    methods: tuple[str, ...] = ()
    replacement: str | None = None
    note: str = ""
    source: str = ""
    read_on: date = date.min
    said: Mapping[str, Said] = field(default_factory=dict)

    def ending(self, name: str) -> Ending:
        """One of the three days, by field name, with who says so."""
        return Ending(getattr(self, name), self.who_says(name))

    def who_says(self, name: str) -> Said:
        """Who says a field."""
        return self.said.get(name) or Said(Origin.FILE, self.source, self.read_on)

    def may_train(self, today: date, method: str | None = None) -> bool:
        """Whether new training jobs are taken on that day, with that method if one is named."""
        open_ = self.training_ends is None or today < self.training_ends
        return self.trainable and open_ and self.trains_with(method)

    def trains_with(self, method: str | None) -> bool:
        """Whether a method is among those that are known; any is when none are."""
        return method is None or not self.methods or str(method) in self.methods

    def covers(self, provider: str, base: str) -> bool:
        """Whether this row speaks of that base model."""
        if self.provider != provider:
            return False
        return same_model(self.model, base) or fnmatchcase(base.casefold(), self.model.casefold())


class OwnDates(NamedTuple):
    """What the user knows better of a model; fields that are not in `changes` stay as listed."""

    provider: str
    model: str
    changes: Mapping[str, Any]
    said: Said


@dataclass(frozen=True, kw_only=True)
class CutOff:
    """From `day` on, those organizations cannot start new training jobs."""

    provider: str
    day: date
    who: str
    source: str


@dataclass(frozen=True, kw_only=True)
class ModelDate:
    """What a provider's list said of one model: its last day, and when that was first and last said.

    Attributes:
        provider: the kind, as in the dated files.
        serving_ends: from that day on this very model no longer answers.
        training_ends: from that day on it takes no training jobs.
        changed_at: when these dates were first told.
        seen_at: when the list was last read.
    """

    provider: str
    account: str
    model: str
    serving_ends: date | None
    training_ends: date | None
    changed_at: datetime
    seen_at: datetime


class Alternatives(NamedTuple):
    """What can be trained instead: at the same provider, and at others (same base first)."""

    here: Sequence[Retirement]
    elsewhere: Sequence[Retirement]


@dataclass(frozen=True, kw_only=True)
class Lifecycle:
    """Everything that is known of models' dates.

    Providers are named by kind, as in the dated files: openai, azure, peft. Models may be named by
    base name with or without its date, by a tuned model's whole name, or by a checkpoint's.

    Attributes:
        models: the user's own rows first, then those of the file.
        cut_offs: steps by which a provider stops training for some of its customers, oldest first.
        closed_codes: by provider, the error code that says an account may not train any more.
        told: what providers said, by provider and model.
    """

    models: Sequence[Retirement]
    compiled: date
    digest: str = ""
    cut_offs: Sequence[CutOff] = ()
    closed_codes: Mapping[str, str] = field(default_factory=dict)
    told: Mapping[tuple[str, str], ModelDate] = field(default_factory=dict)
    _rows: dict[tuple[str, str], Retirement | None] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @classmethod
    def from_json(cls, plain: Mapping[str, Any], digest: str = "") -> Lifecycle:
        """Read what `schemas/lifecycle.schema.json` describes."""
        sources = plain["sources"]
        cut_offs = [
            CutOff(
                provider=row["provider"],
                day=date.fromisoformat(row["date"]),
                who=row["who"],
                source=sources[row["source"]]["title"],
            )
            for row in plain["cut_offs"]
        ]
        return cls(
            models=[_retirement(row, sources) for row in plain["models"]],
            compiled=date.fromisoformat(plain["compiled"]),
            digest=digest,
            cut_offs=sorted(cut_offs, key=lambda each: each.day),
            closed_codes={row["provider"]: row["code"] for row in plain["closed"]},
        )

    def with_own(self, rows: Sequence[OwnDates]) -> Lifecycle:
        """The same with what the user knows better before all else."""
        own = [_as_own(self._listed(row.provider, row.model), row) for row in rows]
        return replace(self, models=[*own, *self.models]) if rows else self

    def with_told(self, dates: Iterable[ModelDate]) -> Lifecycle:
        """The same with what providers said of single models."""
        return replace(self, told={(each.provider, each.model): each for each in dates})

    def find(self, provider: str, model: str) -> Retirement | None:
        """All that is known of a model's dates, or of those of a tuned model's base; None: nothing.

        Of a tuned model that the provider itself named a day for, `serving_ends` is that day.
        """
        base = base_model(model)
        row, told = self._listed(provider, base), self.told.get((provider, model))
        if told is None:
            return row
        return _as_told(row or Retirement(provider=provider, model=base), told)

    def of_job(self, job: Job) -> Retirement | None:
        """All that is known of a job's tuned model; of its base where the tuned name says nothing."""
        tuned = self.find(job.kind, job.tuned_model) if job.tuned_model else None
        return tuned or self.find(job.kind, job.model)

    def training_ends(self, provider: str, model: str) -> Ending | None:
        """From which day on no new job is taken for a base model (of a tuned one, its base).

        Returns:
            None when nothing is known of the model there; an `Ending` without a day when it is known
            and no end is announced.
        """
        row = self.find(provider, model)
        return None if row is None else row.ending("training_ends")

    def serving_ends(self, provider: str, model: str) -> Ending | None:
        """From which day on a model no longer answers.

        For a tuned model or a checkpoint that is its own last day; for a base model's name it is the
        last day of models tuned from it (`find(...).base_ends` is the base's own).

        Returns:
            None when nothing is known of the model there; an `Ending` without a day when it is known
            and no end is announced.
        """
        row = self.find(provider, model)
        return None if row is None else row.ending("serving_ends")

    def answers_until(self, provider: str, model: str) -> Ending | None:
        """From which day on exactly this model no longer answers, be it a base or a tuned one.

        Returns:
            None when nothing is known of the model there.
        """
        row = self.find(provider, model)
        if row is None:
            return None
        return row.ending("serving_ends" if is_tuned(model) else "base_ends")

    def alternatives(
        self, provider: str, model: str, today: date, method: str | None = None
    ) -> Alternatives:
        """What can be trained on that day instead of a model, longest-lived first.

        `elsewhere` holds the same base at other providers, then what trains any model, then models
        without an announced end.

        Args:
            provider: where the model was to be trained.
            model: base, or tuned model whose base is meant; it is left out of `here`.
            today: the day of training.
            method: supervised, dpo or reinforcement; rows whose methods are not known stay in.
        """
        base = base_model(model)
        usable = [row for row in self._distinct() if row.may_train(today, method)]
        here = [r for r in usable if r.provider == provider and not r.covers(provider, base)]
        there = [r for r in usable if r.provider != provider]
        same = [row for row in there if row.model != ANYTHING and same_model(row.model, base)]
        lasting = [row for row in there if row not in same and row.training_ends is None]
        lasting.sort(key=lambda row: row.model != ANYTHING)
        return Alternatives(sorted(here, key=_lifetime), sorted(same, key=_lifetime) + lasting)

    def trainable(self, provider: str, today: date, method: str | None = None) -> list[Retirement]:
        """Every listed base model that takes training jobs on that day, longest-lived first."""
        rows = [row for row in self._distinct() if row.provider == provider]
        return sorted((r for r in rows if r.may_train(today, method)), key=_lifetime)

    def ends_soon(self, provider: str, model: str, today: date) -> bool:
        """Whether a base model stops answering within half a year, or has stopped."""
        found = self.find(provider, model)
        ends = found.base_ends if found else None
        return ends is not None and ends - today < timedelta(days=SOON_DAYS)

    def _listed(self, provider: str, base: str) -> Retirement | None:
        # A ledger of many jobs asks for few bases, each of them often.
        key = (provider, base)
        if key not in self._rows:
            found = (row for row in self.models if row.covers(provider, base))
            self._rows[key] = next(found, None)
        return self._rows[key]

    def _distinct(self) -> list[Retirement]:
        """The rows that speak for their model: of two of one model, the first."""
        return list({(row.provider, row.model): row for row in reversed(self.models)}.values())[
            ::-1
        ]


def _retirement(row: Mapping[str, Any], sources: Mapping[str, Any]) -> Retirement:
    source = sources[row["source"]]
    return Retirement(
        provider=row["provider"],
        model=row["model"],
        training_ends=_day(row["training_ends"]),
        serving_ends=_day(row["serving_ends"]),
        base_ends=_day(row["base_ends"]),
        trainable=row["trainable"],
        methods=tuple(row.get("methods", ())),
        replacement=row.get("replacement"),
        note=row["note"],
        source=source["title"],
        read_on=date.fromisoformat(source["read_on"]),
    )


def _as_own(listed: Retirement | None, own: OwnDates) -> Retirement:
    """A listed row with the user's fields in place of its own."""
    row = listed or Retirement(provider=own.provider, model=own.model)
    # A name without its date stands for the dated model that is listed.
    model = row.model if same_model(row.model, own.model) else own.model
    said = {**row.said, **dict.fromkeys(own.changes, own.said)}
    unlisted: dict[str, Any] = {"source": own.said.source, "read_on": own.said.read_on}
    changes = {**(unlisted if listed is None else {}), **own.changes, "model": model, "said": said}
    return replace(row, **changes)


def _as_told(row: Retirement, told: ModelDate) -> Retirement:
    """A row with the provider's own days, where the user does not know better."""
    ends = "serving_ends" if is_tuned(told.model) else "base_ends"
    days = {ends: told.serving_ends, "training_ends": told.training_ends}
    owned = {name for name, said in row.said.items() if said.origin is Origin.OWN}
    changes = {name: day for name, day in days.items() if day is not None and name not in owned}
    said = Said(Origin.PROVIDER, "the provider's list of models", told.seen_at.date())
    merged: dict[str, Any] = {"said": {**row.said, **dict.fromkeys(changes, said)}, **changes}
    return replace(row, **merged)


def _lifetime(row: Retirement) -> tuple[int, str]:
    # Without an announced end first, then the latest; names settle the rest.
    ends = row.training_ends
    return (0 if ends is None else date.max.toordinal() - ends.toordinal() + 1), row.model


def _day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)

"""Which prices can still be relied on: what is old, what is missing, what the user replaced."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.domain.jobs.job import Method
from orchestrator.domain.jobs.model_names import TUNED, base_model, same_model
from orchestrator.domain.money.bill import FREE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date

    from orchestrator.domain.jobs.job import Job
    from orchestrator.domain.money.prices import Price, PriceBook

_ANSWERING = ("input", "output")


class Used(NamedTuple):
    """A base model that jobs of the ledger train, and what of it has a price."""

    provider: str
    model: str
    jobs: int
    priced: Sequence[Price]
    unpriced: Sequence[str]


class OldSource(NamedTuple):
    """A source that was read too long ago, with the jobs' models that rest on it."""

    source: str
    read_on: date
    days: int
    rows: int
    models: Sequence[str]


class Override(NamedTuple):
    """One of the user's own prices, and the listed one it stands in front of."""

    own: Price
    listed: Price | None


@dataclass(frozen=True, kw_only=True)
class PriceCheck:
    """What the check found.

    Attributes:
        old: every source over 60 days of age, those that jobs rest on first.
        unpriced: models of the ledger's jobs of which something has no price.
    """

    compiled: date
    rows: int
    old: Sequence[OldSource]
    unpriced: Sequence[Used]
    overrides: Sequence[Override]

    @property
    def ok(self) -> bool:
        """Nothing that the ledger's jobs need is old or missing."""
        return not self.unpriced and not any(each.models for each in self.old)


def check_prices(book: PriceBook, jobs: Iterable[Job], today: date) -> PriceCheck:
    """Hold the price book against the ledger's jobs.

    Args:
        book: every price, the user's own first.
        jobs: of the ledger; those whose training nobody bills are left out.
        today: by which prices are old.
    """
    used = [_used(book, *key, some) for key, some in _by_model(jobs).items()]
    own = [price for price in book.prices if price.own]
    return PriceCheck(
        compiled=book.compiled,
        rows=len(book.prices),
        old=_old(book, used, today),
        unpriced=[each for each in used if each.unpriced],
        overrides=[Override(price, book.listed(price)) for price in own],
    )


def _by_model(jobs: Iterable[Job]) -> dict[tuple[str, str, bool], int]:
    found: dict[tuple[str, str, bool], int] = defaultdict(int)
    for job in jobs:
        if job.kind not in FREE:
            found[job.kind, base_model(job.model), job.method is Method.REINFORCEMENT] += 1
    return found


def _used(book: PriceBook, provider: str, model: str, by_hour: bool, jobs: int) -> Used:
    wanted = {("train_hour" if by_hour else "train"): model}
    wanted |= {f"{kind} of tuned models": f"{TUNED}{model}" for kind in _ANSWERING}
    found = {what: book.find(provider, of, what.split()[0]) for what, of in wanted.items()}
    return Used(
        provider=provider,
        model=model,
        jobs=jobs,
        priced=[price for price in found.values() if price is not None],
        unpriced=[what for what, price in found.items() if price is None],
    )


def _old(book: PriceBook, used: Iterable[Used], today: date) -> list[OldSource]:
    resting: dict[tuple[str, date], list[str]] = defaultdict(list)
    for each in used:
        for source in dict.fromkeys((price.who, price.read_on) for price in each.priced):
            resting[source].append(f"{each.provider} {each.model}")
    rows: dict[tuple[str, date], int] = defaultdict(int)
    for price in book.prices:
        if price.is_stale(today):
            rows[price.who, price.read_on] += 1
    found = [
        OldSource(source, read_on, (today - read_on).days, count, resting[source, read_on])
        for (source, read_on), count in rows.items()
    ]
    return sorted(found, key=lambda each: (not each.models, -each.days, each.source))


def chosen(
    book: PriceBook, provider: str | None, model: str | None, kinds: Sequence[str]
) -> list[Price]:
    """The prices that bill: of two for the same, the user's own.

    Args:
        book: every price.
        provider: as the file names it; all when None.
        model: base or tuned, with or without its date; all when None.
        kinds: what is paid for; all when empty.
    """
    first = {(p.provider, p.model, p.kind, p.tier): p for p in reversed(book.prices)}
    return [
        price
        for price in book.prices
        if first[price.provider, price.model, price.kind, price.tier] is price
        and (provider is None or price.provider == provider)
        and (not kinds or price.kind in kinds)
        and (model is None or _is_of(price.model, model))
    ]


def own_notes(book: PriceBook, provider: str, model: str) -> tuple[str, ...]:
    """Which of the user's own prices count when a model is trained there, for a plan."""
    return tuple(
        f"the price of {price.kind} ({price.tier}) is yours, from ftctl.toml: ${price.usd:g}"
        + (f" instead of ${listed.usd:g}" if (listed := book.listed(price)) else "")
        for price in chosen(book, provider, model, ("train", "train_hour"))
        if price.own
    )


def _is_of(listed: str, wanted: str) -> bool:
    base = base_model(listed)
    return listed == wanted or same_model(base, base_model(wanted))

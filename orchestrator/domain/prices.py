"""Prices and retirements as dated data. What is not listed is unpriced, never free."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator.domain.usd import tokens_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

STALE_DAYS = 60
SOON_DAYS = 182
_DATED = re.compile(r"-\d{4}-\d{2}-\d{2}$")
_TUNED = "ft:"


@dataclass(frozen=True, kw_only=True)
class Price:
    """One row of the price file.

    Attributes:
        kind: train, train_hour, input, cached_input, output, host or gpu_hour.
        unit: million_tokens or hour.
        source: where it was read, for people.
        read_on: the day it was read.
        dearest: the same in the dearest region, where regions differ.
    """

    provider: str
    model: str
    kind: str
    usd: float
    unit: str
    tier: str
    source: str
    read_on: date
    confidence: str = "high"
    dearest: float | None = None

    def is_stale(self, today: date) -> bool:
        """Whether it was read more than 60 days ago."""
        return today - self.read_on > timedelta(days=STALE_DAYS)


class Amount(NamedTuple):
    """Dollars and the rows they come from; `usd` is None when a row is missing."""

    usd: float | None
    note: str
    prices: tuple[Price, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PriceBook:
    """Every price that is known, of one dated file.

    Attributes:
        compiled: the day the file was put together.
        digest: SHA-256 of the file, in hex.
    """

    prices: Sequence[Price]
    compiled: date
    digest: str = ""

    @classmethod
    def from_json(cls, plain: Mapping[str, Any], digest: str = "") -> PriceBook:
        """Read what `schemas/prices.schema.json` describes."""
        sources = plain["sources"]
        prices = [
            Price(
                provider=row["provider"],
                model=row["model"],
                kind=row["kind"],
                usd=float(row["usd"]),
                unit=row["unit"],
                tier=row["tier"],
                source=sources[row["source"]]["title"],
                read_on=date.fromisoformat(sources[row["source"]]["read_on"]),
                confidence=sources[row["source"]]["confidence"],
                dearest=row.get("usd_dearest_region"),
            )
            for row in plain["prices"]
        ]
        return cls(prices=prices, compiled=date.fromisoformat(plain["compiled"]), digest=digest)

    def find(self, provider: str, model: str, kind: str, tier: str | None = None) -> Price | None:
        """The one price, or None.

        Args:
            provider: as in the file: openai, azure, or who rents out a GPU.
            model: base model, with or without its date; `ft:BASE` or a tuned model's whole name.
            kind: what is paid for.
            tier: of the service; the provider's usual one when None.
        """
        tiers = (tier,) if tier else ("standard", "global")
        wanted = canonical_model(model)
        for row in self.prices:
            offered = row.provider == provider and row.kind == kind and row.tier in tiers
            if offered and (row.model == "*" or _same_model(row.model, wanted)):
                return row
        return None

    def training_cost(
        self,
        *,
        provider: str,
        model: str,
        tokens: int | None,
        epochs: int = 1,
        tier: str | None = None,
    ) -> Amount:
        """What training bills: tokens of one pass, times passes, times the price.

        Args:
            provider: as the price file names it.
            model: the base model.
            tokens: of one pass over the training file; None when not counted.
            epochs: passes; 1 when `tokens` is what the provider says it trained.
            tier: of training; the usual one when None.
        """
        price = self.find(provider, model, "train", tier)
        if price is None:
            return Amount(None, f"unpriced: no training price of {model} at {provider}")
        if tokens is None:
            return Amount(None, "unpriced: the training tokens were not counted", (price,))
        usd = float(tokens_at(tokens * epochs, price.usd))
        passes = f" x {epochs} epochs" if epochs != 1 else ""
        return Amount(usd, f"{tokens:,} tokens{passes} at ${price.usd:g} per million", (price,))

    def request_cost(
        self,
        *,
        provider: str,
        model: str,
        prompt: float,
        cached: float,
        completion: float,
        tier: str | None = None,
    ) -> Amount:
        """What one request bills, from its measured tokens.

        Args:
            provider: as the price file names it.
            model: `ft:BASE` for a tuned model.
            prompt: tokens of the prompt, cached ones included.
            cached: those of them that came from the provider's cache.
            completion: tokens of the answer, reasoning included.
            tier: of the service.
        """
        rows = {
            kind: self.find(provider, model, kind, tier)
            for kind in ("input", "cached_input", "output")
        }
        fresh, answer = rows["input"], rows["output"]
        if fresh is None or answer is None:
            return Amount(None, f"unpriced: no token price of {model} at {provider}")
        again = rows["cached_input"] or fresh
        usd = float(
            tokens_at(prompt - cached, fresh.usd)
            + tokens_at(cached, again.usd)
            + tokens_at(completion, answer.usd)
        )
        note = f"{prompt:,.0f} in ({cached:,.0f} cached), {completion:,.0f} out"
        return Amount(usd, note, tuple(dict.fromkeys((fresh, again, answer))))

    def cheapest_base(
        self, provider: str, lifecycle: Lifecycle, today: date, tier: str | None = None
    ) -> str | None:
        """The base model whose tokens cost least, of those that are not about to retire.

        Input and output count alike: which of them a task is made of is not known before.
        """
        tiers = (tier,) if tier else ("standard", "global")
        found: dict[str, dict[str, float]] = {}
        for row in self.prices:
            offered = row.provider == provider and row.tier in tiers
            if offered and row.kind in {"input", "output"} and not row.model.startswith(_TUNED):
                found.setdefault(row.model, {}).setdefault(row.kind, row.usd)
        current = {
            model: sum(prices.values())
            for model, prices in found.items()
            if len(prices) == 2 and not lifecycle.ends_soon(provider, model, today)
        }
        return min(sorted(current), key=lambda model: current[model], default=None)

    def hosting(self, *, provider: str, model: str, tier: str | None = None) -> Amount:
        """What a deployed tuned model costs an hour, used or not."""
        price = self.find(provider, model, "host", tier)
        if price is None:
            return Amount(None, f"unpriced: no hosting price of {model} at {provider}")
        note = f"${price.usd:g} an hour, used or not" if price.usd else "no hosting fee"
        return Amount(price.usd, note, (price,))


@dataclass(frozen=True, kw_only=True)
class Retirement:
    """Until when a base model trains, and models tuned from it answer; None when not announced."""

    provider: str
    model: str
    training_ends: date | None
    retires: date | None
    note: str
    source: str
    read_on: date


@dataclass(frozen=True, kw_only=True)
class Lifecycle:
    """Every announced retirement, of one dated file."""

    models: Sequence[Retirement]
    compiled: date
    digest: str = ""

    @classmethod
    def from_json(cls, plain: Mapping[str, Any], digest: str = "") -> Lifecycle:
        """Read what `schemas/lifecycle.schema.json` describes."""
        sources = plain["sources"]
        models = [
            Retirement(
                provider=row["provider"],
                model=row["model"],
                training_ends=_day(row["training_ends"]),
                retires=_day(row["retires"]),
                note=row["note"],
                source=sources[row["source"]]["title"],
                read_on=date.fromisoformat(sources[row["source"]]["read_on"]),
            )
            for row in plain["models"]
        ]
        return cls(models=models, compiled=date.fromisoformat(plain["compiled"]), digest=digest)

    def find(self, provider: str, model: str) -> Retirement | None:
        """What is announced for a base model, or for the base of a tuned one."""
        base = canonical_model(model).removeprefix(_TUNED)
        for row in self.models:
            if row.provider == provider and (
                _same_model(row.model, base) or fnmatchcase(base, row.model)
            ):
                return row
        return None

    def ends_soon(self, provider: str, model: str, today: date) -> bool:
        """Whether a base model retires within half a year, or has retired."""
        found = self.find(provider, model)
        retires = found.retires if found else None
        return retires is not None and retires - today < timedelta(days=SOON_DAYS)


def canonical_model(model: str) -> str:
    """`ft:gpt-4.1-mini-2025-04-14:org:name:id` is priced as `ft:gpt-4.1-mini-2025-04-14`."""
    return _TUNED + model.split(":")[1] if model.startswith(_TUNED) else model


def stale(prices: Iterable[Price], today: date) -> list[Price]:
    """Those that were read more than 60 days ago, each once."""
    return list(dict.fromkeys(price for price in prices if price.is_stale(today)))


def _same_model(listed: str, wanted: str) -> bool:
    # A name without a date means the dated model it stands for.
    return listed == wanted or _DATED.sub("", listed) == wanted


def _day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)

"""Prices as dated data. What is not listed is unpriced, never free."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator.domain.jobs.model_names import TUNED, canonical_model, same_model
from orchestrator.domain.money.usd import tokens_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from orchestrator.domain.jobs.lifecycle import Lifecycle

STALE_DAYS = 60


@dataclass(frozen=True, kw_only=True)
class Price:
    """One row of the price file.

    Attributes:
        kind: train, train_hour, input, cached_input, output, host or gpu_hour.
        unit: million_tokens or hour.
        source: where it was read, for people.
        read_on: the day it was read.
        dearest: the same in the dearest region, where regions differ.
        own: the user says so, in ftctl.toml.
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
    own: bool = False

    @property
    def who(self) -> str:
        """Where it was read, and that the user says so if that is the case."""
        return f"{self.source} (from ftctl.toml)" if self.own else self.source

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

    def with_own(self, prices: Sequence[Price]) -> PriceBook:
        """The same with the user's prices before those of the file."""
        own = [replace(price, model=self._full_name(price)) for price in prices]
        return replace(self, prices=[*own, *self.prices]) if own else self

    def listed(self, own: Price) -> Price | None:
        """The price of the file that one of the user's stands in front of."""
        place = (own.provider, own.model, own.kind, own.tier)
        for row in self.prices:
            if not row.own and (row.provider, row.model, row.kind, row.tier) == place:
                return row
        return None

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
            if offered and (row.model == "*" or same_model(row.model, wanted)):
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
            if offered and row.kind in {"input", "output"} and not row.model.startswith(TUNED):
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

    def _full_name(self, own: Price) -> str:
        """A name without its date stands for the dated model that is listed."""
        for row in self.prices:
            if row.provider == own.provider and same_model(row.model, own.model):
                return row.model
        return own.model


def stale(prices: Iterable[Price], today: date) -> list[Price]:
    """Those that were read more than 60 days ago, each once."""
    return list(dict.fromkeys(price for price in prices if price.is_stale(today)))

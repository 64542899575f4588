"""What training will bill, before a byte is uploaded: a range, its likely point, and why.

By the providers' own rules: tokens of the training file times passes times the price of a million
(supervised, dpo); hours of training times the price of an hour (reinforcement). Tokens of the
validation file are not billed by either host. Sources: OpenAI's pricing page and billing guide for
reinforcement fine-tuning, Microsoft's guide to fine-tuning costs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.domain.errors import TooDear, Unpriced
from orchestrator.domain.jobs.job import Method
from orchestrator.domain.money.cost import epochs_range
from orchestrator.domain.money.spending import Rate
from orchestrator.domain.money.usd import (
    decimal_of,
    exact_money,
    micros,
    micros_up,
    money,
    tokens_at,
    usd_json,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.domain.money.prices import Price, PriceBook


@dataclass(frozen=True, kw_only=True)
class Work:
    """The training that is asked for.

    Attributes:
        tokens: of one pass over the training file, each example cut where the provider cuts it;
            None when not counted.
        rows: examples of the training file.
        epochs: passes; None leaves them to the provider.
        tiers: of the price file, the likeliest first.
        pause_usd: at what cost the provider pauses a reinforcement job by itself.
    """

    model: str
    method: Method
    tokens: int | None
    rows: int
    epochs: int | None = None
    tiers: Sequence[str] = ("standard", "global")
    pause_usd: float | None = None


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Micro-dollars, low to high; None is unpriced, never nothing.

    Attributes:
        likely: the point between them.
        note: how it came about, or why it is not known.
        rate: the dated price that the job will be settled at.
    """

    low: int | None
    likely: int | None
    high: int | None
    note: str
    rate: Rate | None = None

    @property
    def is_free(self) -> bool:
        """Whether no bill can come."""
        return self.high == 0

    def says(self) -> str:
        """For a person."""
        if self.high is None:
            return self.note
        if self.low == self.high:
            return f"about {money(self.likely)} ({self.note})"
        span = f"{money(self.low)} to {money(self.high)}"
        if self.likely is None:
            return f"{span} ({self.note})"
        return f"about {money(self.likely)}, {span} ({self.note})"

    def as_json(self) -> dict[str, Any]:
        """The money of `estimate` in `submit --json`."""
        return {
            "usd": usd_json(self.likely),
            "low_usd": usd_json(self.low),
            "high_usd": usd_json(self.high),
            "note": self.note,
        }

    def must_not_exceed(self, most: int | None, *, allow_unpriced: bool) -> None:
        """Hold it against --max-cost, at its upper end.

        Raises:
            TooDear: it may cost more.
            Unpriced: nobody knows, and that was not allowed.
        """
        if most is None:
            return
        if self.high is None:
            if not allow_unpriced:
                raise Unpriced(
                    f"--max-cost cannot be held, for the cost is {self.note}; nothing was sent.",
                    hint="--allow-unpriced submits all the same",
                )
        elif self.high > most:
            raise TooDear(
                f"This may cost up to {exact_money(self.high)}, more than --max-cost"
                f" {exact_money(most)};"
                " nothing was sent.",
                hint=self._cheaper(),
            )

    def _cheaper(self) -> str:
        if self.likely is not None and self.likely != self.high:
            return "--epochs N fixes the passes and narrows the range, or raise --max-cost"
        return "fewer rows, fewer --epochs, or a higher --max-cost"


def training_estimate(work: Work, provider: str, book: PriceBook) -> Estimate:
    """What a job will bill.

    Args:
        work: what is asked for.
        provider: as the price file names it.
        book: the dated prices.
    """
    if work.method is Method.REINFORCEMENT:
        return _by_the_hour(work, provider, book)
    price = _price(work, provider, book, "train")
    if price is None:
        return _unpriced(f"no training price of {work.model} at {provider}")
    if work.tokens is None:
        return _unpriced("the training tokens were not counted", price)
    low, likely, high = (work.epochs,) * 3 if work.epochs else epochs_range(work.rows)
    dearest = price.dearest if price.dearest is not None else price.usd
    passes = f"{low}" if low == high else f"{low} to {high}"
    note = f"{work.tokens:,} tokens x {passes} epochs at ${price.usd:g} per million, {price.tier}"
    if dearest != price.usd:
        note += f", ${dearest:g} in the dearest region"
    return Estimate(
        low=micros(tokens_at(work.tokens * low, price.usd)),
        likely=micros(tokens_at(work.tokens * likely, price.usd)),
        high=micros_up(tokens_at(work.tokens * high, dearest)),
        note=note,
        rate=Rate.of(price),
    )


def own_machine(usd_an_hour: float | None) -> Estimate:
    """No bill comes from a machine of one's own; its hours are priced when they are known."""
    if usd_an_hour is None:
        note = "no bill comes; usd_per_hour in the profile prices the machine's time"
        return Estimate(low=0, likely=0, high=0, note=note)
    rate = Rate(usd=decimal_of(usd_an_hour), unit="hour", source="usd_per_hour of the profile")
    note = f"no bill comes; its hours are counted at ${usd_an_hour:g}"
    return Estimate(low=0, likely=0, high=0, note=note, rate=rate)


def _by_the_hour(work: Work, provider: str, book: PriceBook) -> Estimate:
    price = _price(work, provider, book, "train_hour")
    if price is None:
        return _unpriced(f"no hourly training price of {work.model} at {provider}")
    hour = f"${price.usd:g} an hour of training, and tokens of model graders besides"
    if work.pause_usd is None:
        return _unpriced(f"nobody knows the hours ({hour})", price)
    high = micros(work.pause_usd)
    note = f"{hour}; the provider pauses the job at {money(high)}"
    return Estimate(low=0, likely=None, high=high, note=note, rate=Rate.of(price))


def _price(work: Work, provider: str, book: PriceBook, kind: str) -> Price | None:
    found = [book.find(provider, work.model, kind, tier) for tier in work.tiers]
    known = [price for price in found if price is not None]
    # What the user says stands before the file, whatever its tier.
    return next((price for price in known if price.own), known[0] if known else None)


def _unpriced(why: str, price: Price | None = None) -> Estimate:
    rate = Rate.of(price) if price else None
    return Estimate(low=None, likely=None, high=None, note=f"unpriced: {why}", rate=rate)

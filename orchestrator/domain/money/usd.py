"""Exact money: whole micro-dollars. A float never adds up to a bill.

A price times a count is exact in decimal; it is rounded once, where it becomes an amount: to the
nearest micro-dollar, halves up, and a reservation always up.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_HALF_UP, Decimal

MICROS = 1_000_000
_MILLION = Decimal(1_000_000)
_ONE = Decimal(1)


def decimal_of(number: float | str | Decimal) -> Decimal:
    """The number as it is written: 0.1 is a tenth, not the float next to it."""
    return number if isinstance(number, Decimal) else Decimal(str(number))


def tokens_at(tokens: float, usd_a_million: float | Decimal) -> Decimal:
    """Dollars for tokens at a price a million, exact."""
    return decimal_of(tokens) * decimal_of(usd_a_million) / _MILLION


def micros(usd: float | str | Decimal) -> int:
    """Dollars in micro-dollars, rounded to the nearest, halves up."""
    return _whole(usd, ROUND_HALF_UP)


def micros_up(usd: float | str | Decimal) -> int:
    """Dollars in micro-dollars, rounded up: what is reserved must suffice."""
    return _whole(usd, ROUND_CEILING)


def dollars(amount: int) -> Decimal:
    """Micro-dollars in dollars, exact."""
    return Decimal(amount) / MICROS


def usd_json(amount: int | None) -> float | None:
    """For JSON: the float that is written as those dollars; None stays None."""
    return None if amount is None else float(dollars(amount))


def money(amount: int | None) -> str:
    """For people: cents, and of less than ten cents as many places as it needs to be seen."""
    if amount is None:
        return "unpriced"
    if abs(amount) >= MICROS // 10:
        return f"${dollars(amount):,.2f}"
    return _trimmed(f"${dollars(amount):,.4f}" if abs(amount) >= 1_000 else f"${dollars(amount):f}")


def exact_money(amount: int) -> str:
    """For people who compare two amounts: every place that is not zero, cents at least."""
    return _trimmed(f"${dollars(amount):,.6f}")


def _trimmed(text: str) -> str:
    whole, _, places = text.partition(".")
    return f"{whole}.{places.rstrip('0').ljust(2, '0')}"


def _whole(usd: float | str | Decimal, rounding: str) -> int:
    return int((decimal_of(usd) * MICROS).quantize(_ONE, rounding=rounding))

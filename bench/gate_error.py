"""How often the gates of a comparison are wrong when nothing is there: by simulation, from a seed.

    python bench/gate_error.py [TRIALS]

Every cell draws whole comparisons from a known truth and sends them through the statistics that
`ftctl compare` uses. Printed are the shares of wrong verdicts, which should not exceed 5 %.
"""

from __future__ import annotations

import random
import sys
from functools import cache
from math import sqrt
from typing import TYPE_CHECKING

from orchestrator.domain.comparing.comparison import Word
from orchestrator.domain.comparing.difference import Pair, compare_scores, family

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.domain.comparing.comparison import Difference

MARGIN = 0.03
WRONG = frozenset({Word.IMPROVED, Word.DEGRADED})


@cache
def table(won: int, lost: int, rows: int, margin: float | None) -> Difference:
    """Right and wrong answers decide by three counts alone."""
    same = rows - won - lost
    new = [1.0] * won + [0.0] * lost + [1.0] * same
    old = [0.0] * won + [1.0] * lost + [1.0] * same
    pair = Pair(candidate="new", baseline="old", metric="exact", new=new, old=old)
    return compare_scores(pair, margin=margin)


def binary(rng: random.Random, rows: int, share: float, gain: float, margin: float | None = None):
    won = lost = 0
    for _ in range(rows):
        drawn = rng.random()
        won += drawn < (share + gain) / 2
        lost += (share + gain) / 2 <= drawn < share
    return table(won, lost, rows, margin)


def grouped(
    rng: random.Random, groups: int, size: int, gain: float, *, honest: bool, margin: float | None
) -> Difference:
    """Rows of a group are mostly won or lost together: three of ten groups lean one way."""
    new, old, names = [], [], []
    for group in range(groups):
        drawn = rng.random()
        lean = 0.5 if drawn < 0.15 else -0.5 if drawn < 0.30 else 0.0
        for _ in range(size):
            # Of a leaning group half the rows are decided its way; of any, a tenth at random.
            win = max(lean, 0.0) + 0.05 + gain / 2
            loss = max(-lean, 0.0) + 0.05 - gain / 2
            drawn = rng.random()
            new.append(float(drawn < win or drawn >= win + loss))
            old.append(float(win <= drawn))
            names.append(str(group))
    pair = Pair(
        candidate="new", baseline="old", metric="exact", new=new, old=old,
        groups=names if honest else None,
    )  # fmt: skip
    return compare_scores(pair, margin=margin)


def graded(rng: random.Random, rows: int, gain: float, spread: float, margin: float | None = None):
    """Scores between 0 and 1, mostly near each other, now and then far apart."""
    old = [rng.uniform(0.3, 0.7) for _ in range(rows)]
    noise = [rng.gauss(0, spread if rng.random() < 0.8 else 3 * spread) for _ in range(rows)]
    new = [min(1.0, max(0.0, o + gain + e)) for o, e in zip(old, noise, strict=True)]
    pair = Pair(candidate="new", baseline="old", metric="token_f1", new=new, old=old)
    return compare_scores(pair, margin=margin)


def share(trials: int, wrong: Callable[[], bool]) -> str:
    found = sum(wrong() for _ in range(trials)) / trials
    # Three standard errors of a share that is truly 5 %.
    loud = "!" if found > 0.05 + 3 * sqrt(0.05 * 0.95 / trials) else ""
    return f"{100 * found:.1f}{loud}"


def show(title: str, head: list[str], rows: list[list[str]]) -> None:
    print(f"\n{title}\n")
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(row) + " |", flush=True)


def main() -> None:
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 4000
    few = max(200, trials // 8)
    rng = random.Random(20261120)
    sizes, shares = (50, 100, 200, 500, 1000), (0.04, 0.10, 0.20)

    def opens(draw: Callable[[], Difference]) -> Callable[[], bool]:
        return lambda: draw().verdict.passes is True

    def claims(draw: Callable[[], Difference]) -> Callable[[], bool]:
        return lambda: draw().verdict in WRONG

    show(
        f"Parity gate opens at a true loss of exactly the margin ({trials} comparisons a cell)",
        ["discordant \\ rows", *map(str, sizes)],
        [[f"{d:.0%}", *(share(trials, opens(lambda n=n, d=d: binary(rng, n, d, -MARGIN, MARGIN)))
                        for n in sizes)] for d in shares],
    )  # fmt: skip
    show(
        f"Improved or Degraded although nothing differs ({trials} a cell)",
        ["discordant \\ rows", *map(str, sizes)],
        [[f"{d:.0%}", *(share(trials, claims(lambda n=n, d=d: binary(rng, n, d, 0.0)))
                        for n in sizes)] for d in shares],
    )  # fmt: skip

    def any_of(arms: int, rows: int, d: float) -> Callable[[], bool]:
        return lambda: any(
            f.verdict in WRONG for f in family([binary(rng, rows, d, 0.0) for _ in range(arms)])
        )

    show(
        f"Any of several arms Improved or Degraded although none differs, with Holm ({trials} a cell)",
        ["arms \\ rows", "100", "400"],
        [[str(arms), *(share(trials, any_of(arms, n, 0.2)) for n in (100, 400))]
         for arms in (2, 3, 5, 10)],
    )  # fmt: skip
    show(
        f"Rows in groups of 8 that err together ({few} a cell)",
        ["groups", "superiority", "the same, groups ignored", "parity at the margin"],
        [[str(g),
          share(few, claims(lambda g=g: grouped(rng, g, 8, 0.0, honest=True, margin=None))),
          share(few, claims(lambda g=g: grouped(rng, g, 8, 0.0, honest=False, margin=None))),
          share(few, opens(lambda g=g: grouped(rng, g, 8, -0.08, honest=True, margin=0.08)))]
         for g in (10, 15, 30, 60)],
    )  # fmt: skip
    show(
        f"Scores between 0 and 1 ({few} a cell)",
        ["rows", "superiority", "parity at the margin"],
        [[str(n),
          share(few, claims(lambda n=n: graded(rng, n, 0.0, 0.1))),
          share(few, opens(lambda n=n: graded(rng, n, -MARGIN, 0.1, MARGIN)))]
         for n in (12, 30, 60, 200, 2500)],
    )  # fmt: skip


if __name__ == "__main__":
    main()

"""The rows of a comparison, side by side: what was asked, wanted and answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.domain.errors import UsageError
from orchestrator.reports.words import spreadsheet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orchestrator.domain.comparing.answerbook import Comparisons, ScoredRow
    from orchestrator.domain.comparing.comparison import Comparison

OUTCOMES = ("won", "lost", "same")


def rows_of(
    store: Comparisons,
    comparison: Comparison,
    *,
    outcome: str | None = None,
    against: str | None = None,
    part: str | None = None,
    arms: Sequence[str] = (),
    limit: int | None = None,
    skip: int = 0,
) -> list[dict[str, Any]]:
    """Rows with every arm's answer and score.

    Args:
        store: where they are kept.
        comparison: whose rows.
        outcome: only rows that the candidate won, lost or drew; all when None.
        against: the baseline that decides about that; the one of the verdict when None.
        part: only rows of this slice.
        arms: only these arms' answers; all when empty.
        limit: so many rows at most.
        skip: leave out so many first.

    Raises:
        UsageError: no such arm, no such slice, or the comparison kept no rows.
    """
    scores = store.scores(comparison.id)
    if not scores:
        raise UsageError(
            f"Comparison {comparison.id} kept no rows; it was made by an older ftctl.",
            hint=f"ftctl compare {comparison.job_id or ''} with the same options",
        )
    baseline = against or comparison.decisive.baseline
    shown = list(arms) or [arm.name for arm in comparison.arms]
    _known([*shown, baseline], scores)
    pair = scores[comparison.decisive.candidate], scores[baseline]
    wanted = [row for row in sorted(pair[0]) if outcome in {None, _outcome(row, *pair)}]
    end = None if limit is None else skip + limit
    samples = _of_slice(store.samples(comparison.id, wanted), part, comparison)[skip:end]
    numbers = [sample.row for sample in samples]
    answers = {name: store.answers(comparison.id, name, numbers) for name in shown}
    return [
        {
            "row": sample.row,
            "slice": sample.slice,
            "outcome": _outcome(sample.row, *pair),
            "asked": sample.asked,
            "reference": sample.reference,
            "answers": {
                name: {
                    "text": answers[name][sample.row].said if sample.row in answers[name] else None,
                    "score": scores[name].get(sample.row),
                }
                for name in shown
            },
        }
        for sample in samples
    ]


def to_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows for a spreadsheet; a text that would be a formula is quoted as text."""
    arms = list(rows[0]["answers"]) if rows else []
    head = ["row", "slice", "outcome", "asked", "reference"]
    cells = [
        [row[name] for name in head]
        + [row["answers"][arm][part] for arm in arms for part in ("text", "score")]
        for row in rows
    ]
    return spreadsheet([*head, *(f"{arm}{s}" for arm in arms for s in ("", " score"))], cells)


def _outcome(row: int, new: Mapping[int, float], old: Mapping[int, float]) -> str | None:
    if row not in new or row not in old:
        return None
    if new[row] == old[row]:
        return "same"
    return "won" if new[row] > old[row] else "lost"


def _known(names: Sequence[str], scores: Mapping[str, Any]) -> None:
    for name in names:
        if name not in scores:
            raise UsageError(f"The comparison has no arm '{name}'; it has {', '.join(scores)}.")


def _of_slice(
    samples: Sequence[ScoredRow], part: str | None, comparison: Comparison
) -> list[ScoredRow]:
    if part is None:
        return list(samples)
    found = [sample for sample in samples if sample.slice == part]
    if not found and part not in {d.slice for d in comparison.slices}:
        known = ", ".join(str(d.slice) for d in comparison.slices) or "none"
        raise UsageError(f"There is no slice '{part}' in these rows; the comparison has: {known}.")
    return found

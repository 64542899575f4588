"""BLEU of one sentence and of the corpus, by sacrebleu: an optional part of ftctl."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.domain.errors import MissingExtra
from orchestrator.grading.grader import Score

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, kw_only=True)
class Bleu:
    """Sentence BLEU (Papineni 2002) with sacrebleu's tokens and smoothing."""

    scorer: Any
    name: str = "bleu"
    corpus_name: str = "corpus_bleu"

    def grade(self, answer: str, reference: str) -> Score:
        """Between 0 and 1; an empty reference cannot be graded."""
        if not reference.strip():
            return Score(value=None, reason="the reference is empty")
        found = self.scorer.sentence_score(answer, [reference])
        sums = (*found.counts, *found.totals, found.sys_len, found.ref_len)
        return Score(value=min(1.0, found.score / 100), reason=f"BLEU {found.score:.1f}", sums=sums)

    def corpus(self, sums: Sequence[float]) -> float:
        """BLEU of the corpus, from matched and produced n-grams and both lengths."""
        order = (len(sums) - 2) // 2
        whole = [round(total) for total in sums]
        found = self.scorer.compute_bleu(
            correct=whole[:order],
            total=whole[order : 2 * order],
            sys_len=whole[-2],
            ref_len=whole[-1],
        )
        return min(1.0, float(found.score) / 100)


def bleu() -> Bleu:
    """The grader.

    Raises:
        MissingExtra: sacrebleu is not installed.
    """
    try:
        from sacrebleu.metrics import BLEU  # type: ignore[import-not-found, attr-defined, unused-ignore]
    except ImportError as error:
        raise MissingExtra(
            "The grader 'bleu' needs sacrebleu.", hint="pip install 'ftctl[metrics]'"
        ) from error
    return Bleu(scorer=BLEU(effective_order=True))

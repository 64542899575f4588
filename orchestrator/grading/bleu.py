"""BLEU of one sentence, by sacrebleu: an optional part of ftctl."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from orchestrator.domain.errors import MissingExtra
from orchestrator.grading.grader import Score


@dataclass(frozen=True, kw_only=True)
class Bleu:
    """Sentence BLEU (Papineni 2002) with sacrebleu's tokens and smoothing."""

    scorer: Any
    name: str = "bleu"
    binary: bool = False

    def grade(self, answer: str, reference: str) -> Score:
        """Between 0 and 1; an empty reference cannot be graded."""
        if not reference.strip():
            return Score(value=None, reason="the reference is empty")
        found = self.scorer.sentence_score(answer, [reference]).score
        return Score(value=min(1.0, found / 100), reason=f"BLEU {found:.1f}")


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

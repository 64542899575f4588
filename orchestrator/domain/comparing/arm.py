"""An arm of a comparison, the plan that is fixed before it is asked, and how far the asking is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from orchestrator.domain.comparing.sample import Sample
    from orchestrator.domain.provider import ChatHost


@dataclass(frozen=True, kw_only=True)
class Arm:
    """A model with a prompt and decoding settings.

    Attributes:
        name: how it was asked for: base, few-shot:6, tuned.
        model: in the provider's words.
        prompt: from a sample to the messages that are sent.
        candidate: whether it is compared with the others, or is one of them.
        repeat: counts repeated askings of the same thing, which the cache must keep apart.
        again: the arm that this one asks a second time, to see how much the answers vary (A/A).
        chat: who answers, where it is not the job's own provider.
        account: fingerprint of that provider's account.
        provider: profile of who answers; the job's when empty.
        kind: what drives that profile, by which prices are found; the job's when empty.
        priced_as: the model's name in the price file, where it is not the model's own.
        free: asking it costs nothing: it is a recording, or counts on this machine.
        note: what else the report should say, such as the rows that serve as examples.
    """

    name: str
    model: str
    prompt: Callable[[Sample], Sequence[Mapping[str, Any]]]
    candidate: bool = False
    repeat: int = 0
    again: str | None = None
    chat: ChatHost | None = None
    account: str | None = None
    provider: str = ""
    kind: str = ""
    priced_as: str = ""
    free: bool = False
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is fixed before the first answer exists.

    Attributes:
        grader: name of the grader of the primary metric, with its argument after a colon.
        margin: largest loss that does not matter, as a proportion; None asks for improvement.
        source: the arm that parity is measured against; the best baseline when None.
        baseline: the arm that the verdict is about where there is no source; the best when None.
        alpha: two-sided level of every test.
        max_missing: share of unanswered or ungradable rows above which there is no result.
        max_tokens: most tokens of an answer.
        temperature: 0 takes the likeliest token.
        repeats: answers per row and arm; a row's score is their mean.
        concurrency: calls under way at once.
        seed: of every draw.
    """

    grader: str = "exact"
    margin: float | None = None
    source: str | None = None
    baseline: str | None = None
    alpha: float = 0.05
    max_missing: float = 0.01
    max_tokens: int = 256
    temperature: float = 0.0
    repeats: int = 1
    concurrency: int = 8
    seed: int = 0


class Progress(NamedTuple):
    """How far a run is, in calls.

    Attributes:
        usd: what was paid so far; None when a price is not known.
    """

    done: int
    total: int
    cached: int
    missing: int
    usd: float | None = None

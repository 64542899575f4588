"""The classical rival for tasks of labels: TF-IDF and logistic regression, in the standard library.

A large model that does not beat it is not worth its price. Words and pairs of words, weighed by
1 + log(count) and smoothed inverse document frequency, to unit length; multinomial logistic
regression by AdaGrad, seeded. The same rows give the same labels.
"""

from __future__ import annotations

import itertools
import random
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from math import exp, log, sqrt
from typing import TYPE_CHECKING

from orchestrator.domain.chat import ChatAnswer
from orchestrator.domain.comparing.sample import text_of
from orchestrator.domain.errors import UsageError
from orchestrator.grading.labels import labels_of
from orchestrator.grading.text import normalise, words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orchestrator.domain.chat import ChatRequest
    from orchestrator.domain.comparing.sample import Sample

    _Vector = Mapping[str, float]

# Multiplications that training may take: some ten seconds of pure Python.
_WORK = 30_000_000
_MOST_PASSES = 20
_RATE, _DECAY = 0.5, 1e-5
_FEWEST_DOCUMENTS = 2
_LONGEST = 400


@dataclass(frozen=True)
class Classifier:
    """The fitted model. It answers as any other host of chat does.

    Attributes:
        spelled: from a normalised label to the way the training rows write it.
    """

    rarity: Mapping[str, float]
    weights: Mapping[str, Mapping[str, float]]
    biases: Mapping[str, float]
    spelled: Mapping[str, str]

    def chat(self, request: ChatRequest) -> ChatAnswer:
        """The likeliest label of what the user says."""
        started = time.perf_counter()
        said = " ".join(text_of(m) for m in request.messages if m.get("role") == "user")
        label = self.label(said)
        return ChatAnswer(
            text=self.spelled[label],
            finish_reason="stop",
            prompt_tokens=0,
            completion_tokens=0,
            latency=time.perf_counter() - started,
        )

    def label(self, text: str) -> str:
        """The likeliest label of a text, normalised."""
        vector = _vector(text, self.rarity)
        scores = {
            label: self.biases[label]
            + sum(value * weights.get(term, 0.0) for term, value in vector.items())
            for label, weights in self.weights.items()
        }
        return max(sorted(scores), key=lambda label: scores[label])


def fit(training: Sequence[Sample], seed: int = 0) -> Classifier:
    """Train on the training split.

    Raises:
        UsageError: the answers are not labels.
    """
    if labels_of([row.reference for row in training]) is None:
        raise UsageError(
            "The classical arm needs a task of labels: answers that are few, short and repeat."
        )
    texts = [_said(row) for row in training]
    targets = [normalise(row.reference) for row in training]
    rarity = _rarity(texts)
    vectors = [_vector(text, rarity) for text in texts]
    weights, biases = _descend(vectors, targets, seed)
    return Classifier(rarity, weights, biases, _spellings(training))


def _descend(
    vectors: Sequence[_Vector], targets: Sequence[str], seed: int
) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    labels = sorted(set(targets))
    weights: dict[str, dict[str, float]] = {label: defaultdict(float) for label in labels}
    moved: dict[str, dict[str, float]] = {label: defaultdict(float) for label in labels}
    biases = dict.fromkeys(labels, 0.0)
    work = len(labels) * sum(len(vector) for vector in vectors) or 1
    order, rng = list(range(len(vectors))), random.Random(seed)
    for _ in range(max(1, min(_MOST_PASSES, _WORK // work))):
        rng.shuffle(order)
        for place in order:
            chances = _chances(vectors[place], weights, biases)
            for label in labels:
                error = chances[label] - (label == targets[place])
                biases[label] -= 0.1 * error
                _step(weights[label], moved[label], vectors[place], error)
    return {label: dict(found) for label, found in weights.items()}, biases


def _step(
    weights: dict[str, float], moved: dict[str, float], vector: _Vector, error: float
) -> None:
    for term, value in vector.items():
        slope = error * value + _DECAY * weights[term]
        moved[term] += slope * slope
        weights[term] -= _RATE * slope / (sqrt(moved[term]) + 1e-8)


def _chances(
    vector: _Vector, weights: Mapping[str, Mapping[str, float]], biases: Mapping[str, float]
) -> dict[str, float]:
    scores = {
        label: biases[label] + sum(v * found.get(term, 0.0) for term, v in vector.items())
        for label, found in weights.items()
    }
    top = max(scores.values())
    raised = {label: exp(score - top) for label, score in scores.items()}
    total = sum(raised.values())
    return {label: value / total for label, value in raised.items()}


def _rarity(texts: Sequence[str]) -> dict[str, float]:
    seen = Counter(term for text in texts for term in set(_terms(text)))
    fewest = _FEWEST_DOCUMENTS if len(texts) > 2 * _LONGEST else 1
    return {
        term: 1 + log((1 + len(texts)) / (1 + count))
        for term, count in sorted(seen.items())
        if count >= fewest
    }


def _vector(text: str, rarity: Mapping[str, float]) -> dict[str, float]:
    counts = Counter(term for term in _terms(text) if term in rarity)
    weighed = {term: (1 + log(count)) * rarity[term] for term, count in counts.items()}
    length = sqrt(sum(value * value for value in weighed.values()))
    return {term: value / length for term, value in weighed.items()}


def _terms(text: str) -> list[str]:
    found = words(text)[:_LONGEST]
    return found + [f"{one} {other}" for one, other in itertools.pairwise(found)]


def _said(row: Sample) -> str:
    return " ".join(text_of(m) for m in row.messages if m.get("role") == "user")


def _spellings(training: Sequence[Sample]) -> dict[str, str]:
    ways: dict[str, Counter[str]] = defaultdict(Counter)
    for row in training:
        ways[normalise(row.reference)][row.reference.strip()] += 1
    return {label: min(found, key=lambda way: (-found[way], way)) for label, found in ways.items()}

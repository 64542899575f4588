"""Test rows that nearly repeat a training row are found, named, and left out on demand."""

from __future__ import annotations

import random
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.provider import Provider
from orchestrator.usecases.comparing.near_rows import ALIKE, NearRows
from tests.usecases.comparing import LABELS, Host, tuned_job, write

WORDS = (
    "my",
    "parcel",
    "is",
    "late",
    "and",
    "nobody",
    "answers",
    "the",
    "phone",
    "since",
    "monday",
)


def slow_likeness(one: str, other: str) -> float:
    a, b = (
        {tuple(words[i : i + 5]) for i in range(len(words) - 4)}
        for words in (one.split(), other.split())
    )
    return len(a & b) / len(a | b) if a and b else 0.0


@given(st.integers(0, 10_000), st.integers(6, 60), st.integers(0, 4))
def test_it_finds_what_looking_at_every_pair_finds(seed: int, size: int, changes: int):
    rng = random.Random(seed)
    training = [(n, " ".join(rng.choices(WORDS, k=size))) for n in range(8)]
    words = training[seed % 8][1].split()
    for _ in range(changes):
        words[rng.randrange(size)] = rng.choice(WORDS)
    text = " ".join(words)
    wanted = max(slow_likeness(text, other) for _, other in training)
    found = NearRows(training).alike(1, text)
    assert (found is not None) == (wanted >= ALIKE)
    assert found is None or found.likeness == wanted


def rows(number: int, extra: str = ""):
    text = f"ticket {number} " + " ".join(random.Random(number).choices(WORDS, k=30)) + extra
    return {
        "messages": [
            {"role": "user", "content": text},
            {"role": "assistant", "content": LABELS[number % 2]},
        ]
    }


def test_they_are_counted_kept_and_left_out(ftctl):
    host = Host()
    ftctl.build_provider = lambda profile: cast(Provider, host)
    job = tuned_job(ftctl, training=[rows(n) for n in range(1000, 1080)])
    test = [rows(n) for n in range(60)] + [rows(n, " thanks") for n in range(1000, 1005)]
    held_out = write(ftctl.home / "test.jsonl", test)
    kept = ftctl("compare", job.id, "--test", held_out, "--arm", "few-shot:70", "--arm", "tuned")
    assert "5 test rows nearly repeat a training row, kept" in kept.err
    assert "61 (as training row 1)" in kept.err
    # No example is one of the training rows that are nearly test rows.
    examples = [str(m["content"]) for r in host.asked for m in r.messages[:-1]]
    assert len(examples) == 65 * 140
    assert not any(f"ticket {n} " in example for n in range(1000, 1005) for example in examples)
    dropped = ftctl("compare", job.id, "--test", held_out, "--drop-near", "--json").json
    assert (dropped["near_leaked"], dropped["near_dropped"], dropped["arms"][0]["n"]) == (
        5,
        True,
        60,
    )
    assert dropped["near_rows"][0][:2] == [61, 1]
    out = ftctl.home / "report"
    ftctl("report", job.id, "--comparison", dropped["id"], "--out", out)
    assert "5 nearly, left out" in (out / "report.md").read_text(encoding="utf-8")

"""Token counts against the published numbers of the cookbook."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from orchestrator.datasets.checking.validation import validate
from orchestrator.datasets.tokens.vocabularies import CL100K, O200K, counter_of, encoding_of
from orchestrator.domain.errors import UsageError
from orchestrator.domain.jobs.job import Method

TOY = Path(__file__).parents[1] / "data" / "datasets" / "real" / "toy_chat_fine_tuning.jsonl"


@pytest.mark.parametrize(
    ("model", "rows"),
    [
        ("gpt-4o-mini", [43, 106, 26, 27, 8031]),
        ("gpt-3.5-turbo", [45, 111, 26, 28, 8032]),
    ],
)
def test_the_cookbooks_rows_count_as_published(model: str, rows: list[int]) -> None:
    for line, wanted in zip(TOY.read_bytes().splitlines(), rows, strict=True):
        assert validate(io.BytesIO(line), model=model).tokens == wanted


def test_a_file_counts_as_the_sum_of_its_rows() -> None:
    verdict = validate(TOY)
    assert verdict.tokens == 8233
    assert verdict.encoding == O200K
    assert verdict.lengths is not None
    assert verdict.lengths.longest[0] == (5, 8031)
    assert sum(rows for _, rows in verdict.lengths.histogram) == 5


def test_an_example_counts_up_to_where_it_is_cut() -> None:
    row = b'{"messages":[{"role":"user","content":"%s"},{"role":"assistant","content":"b"}]}'
    verdict = validate(io.BytesIO(row % (b"word " * 70_000 + b"x")))
    assert verdict.tokens == 65_536
    assert verdict.counts["example-too-long"] == 1


def test_special_tokens_in_text_are_text() -> None:
    assert counter_of().count("<|endoftext|>") != 1


@pytest.mark.parametrize(
    ("model", "encoding"),
    [
        ("gpt-4o-2024-08-06", O200K),
        ("gpt-4.1-nano", O200K),
        ("o4-mini-2025-04-16", O200K),
        ("openai/gpt-oss-20b", O200K),
        ("ft:gpt-4o-mini-2024-07-18:org::id", O200K),
        ("gpt-4o-mini-2024-07-18.ft-0123456789", O200K),
        ("gpt-4-0613", CL100K),
        ("gpt-35-turbo", CL100K),
        ("ft:gpt-3.5-turbo:org::id", CL100K),
        ("ft:babbage-002:org::id", CL100K),
        (None, None),
        ("gpt-40-mini", None),
        ("o100", None),
        ("tiny", None),
        ("meta-llama/Llama-3.1-8B-Instruct", None),
    ],
)
def test_a_model_has_its_vocabulary(model: str | None, encoding: str | None) -> None:
    assert encoding_of(model) == encoding


@pytest.mark.parametrize(
    ("target", "model", "doubted"),
    [
        ("openai", None, False),
        ("azure", "gpt-4o-mini", False),
        ("azure", "my-deployment", True),
        ("peft", None, False),
        ("peft", "somebody/never-fetched", True),
        ("peft", "openai/gpt-oss-20b", False),
    ],
)
def test_an_estimate_is_told_as_one(target: str, model: str | None, doubted: bool) -> None:
    verdict = validate(TOY, target=target, model=model)
    told = [each for each in verdict.findings if each.code == "tokens-estimated"]
    assert bool(told) is doubted
    assert all(O200K in each.message and str(model) in each.message for each in told)


@pytest.mark.parametrize("folder", [".", "./not/there"])
def test_a_folder_without_a_tokenizer_is_a_usage_error(folder: str) -> None:
    with pytest.raises(UsageError, match=r"The folder \.\S* of the model"):
        validate(TOY, target="peft", model=folder)


def test_both_answers_of_a_pair_are_counted_and_the_prompt_once() -> None:
    row = (
        b'{"input":{"messages":[{"role":"user","content":"hello there"}]},'
        b'"preferred_output":[{"role":"assistant","content":"good day"}],'
        b'"non_preferred_output":[{"role":"assistant","content":"%s"}]}'
    )
    kept = b'{"messages":[{"role":"user","content":"hello there"},{"role":"assistant","content":"good day"}]}'
    chosen = validate(io.BytesIO(kept)).tokens or 0
    # What the other answer adds: its text, its role, and the form of a message.
    other = counter_of().count("go away") + 4
    pair = validate(io.BytesIO(row % b"go away"), method=Method.DPO)
    assert pair.tokens == chosen + other
    long = validate(io.BytesIO(row % (b"word " * 70_000)), method=Method.DPO)
    assert long.tokens == chosen + 65_536

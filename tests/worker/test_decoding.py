"""Batched decoding in full precision: the same answers as one by one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from ftctl_worker.models.bases import BaseModel
from ftctl_worker.models.loading import LoadedBase, load_base
from ftctl_worker.serving.decoding import Decoder, Prefix
from ftctl_worker.serving.row_state import RowState
from hypothesis import given
from hypothesis import strategies as st

from tests.worker.mini_model import mini_tokenizer


@pytest.fixture(scope="module")
def base(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> LoadedBase:
    torch.set_num_threads(1)
    model = BaseModel(name="mini", kind="folder", location=str(models_dir / "mini"))
    return load_base(model, precision="fp32", cache=tmp_path_factory.mktemp("cache"))


def rows(base: LoadedBase, texts: list[str], **changes: Any) -> list[RowState]:
    settings: dict[str, Any] = {
        "max_new": 20,
        "temperature": 0.0,
        "top_p": 1.0,
        "seed": 3,
        "stop": (),
        "emit": lambda *_: None,
        "is_cancelled": lambda: False,
        **changes,
    }
    return [RowState(ids=base.tokenizer(text)["input_ids"], **settings) for text in texts]


def decoder_of(base: LoadedBase) -> Decoder:
    return Decoder(base.model, base.tokenizer, eos_ids=base.eos_ids, pad_id=base.pad_id)


def answers(base: LoadedBase, batch: list[RowState], prefix: Prefix | None = None) -> list[Any]:
    decoder = decoder_of(base)
    decoder.join(batch, prefix)
    while decoder.rows:
        decoder.step()
    return [row.new_ids for row in batch]


TEXTS = [
    "a",
    "a longer prompt than the first",
    "a longer prompt than the second, by far",
    "something else",
]
SHARED = "the same long beginning of every single prompt, "


@pytest.mark.parametrize("temperature", [0.0, 1.2])
def test_a_batch_answers_like_single_requests(base: LoadedBase, temperature: float) -> None:
    options = {"temperature": temperature, "top_p": 0.95}
    alone = [answers(base, rows(base, [text], **options))[0] for text in TEXTS]
    assert answers(base, rows(base, TEXTS, **options)) == alone


def test_a_shared_beginning_is_computed_once(base: LoadedBase) -> None:
    texts = [SHARED + text for text in TEXTS]
    alone = [answers(base, rows(base, [text]))[0] for text in texts]
    prefix = Prefix()
    assert answers(base, rows(base, texts), prefix) == alone
    assert base.tokenizer.decode(prefix.ids).startswith(SHARED)
    assert answers(base, rows(base, texts[::-1]), prefix) == alone[::-1]
    single = rows(base, texts[:1])
    assert answers(base, single, prefix) == alone[:1]
    assert answers(base, rows(base, [texts[1]]), prefix) == [alone[1]]


def test_rows_end_on_their_own(base: LoadedBase) -> None:
    batch = rows(base, TEXTS)
    for row, length in zip(batch, (1, 5, 3, 20), strict=True):
        row.max_new = length
    alone = [answers(base, rows(base, [text]))[0] for text in TEXTS]
    expected = [ids[:n] for ids, n in zip(alone, (1, 5, 3, 20), strict=True)]
    assert answers(base, batch) == expected


def test_rows_join_between_tokens_and_answer_as_they_do_alone(base: LoadedBase) -> None:
    texts = [*TEXTS, SHARED + "one", SHARED + "two"]
    alone = [answers(base, rows(base, [text]))[0] for text in texts]
    batch = rows(base, texts)
    decoder, prefix, coming = decoder_of(base), Prefix(), list(batch)
    decoder.join([coming.pop(0), coming.pop()], None)
    while decoder.rows or coming:
        for _ in range(3):
            decoder.step()
        if coming:
            decoder.join([coming.pop(0)], prefix)
    assert [row.new_ids for row in batch] == alone


@given(text=st.text(min_size=1, max_size=60))
def test_text_that_is_decoded_bit_by_bit_is_the_whole_text(text: str) -> None:
    tokenizer = mini_tokenizer()
    pieces: list[str] = []
    row = RowState(
        ids=[0], max_new=999, temperature=0, top_p=1, seed=0, stop=(), is_cancelled=lambda: False,
        emit=lambda piece, _: pieces.append(piece),
    )  # fmt: skip
    for token in [*tokenizer(text)["input_ids"], tokenizer.eos_token_id]:
        row.accept(token, tokenizer, frozenset({tokenizer.eos_token_id}))
    assert "".join(pieces) == text


def test_rows_that_end_with_their_first_token_leave_nobody_to_choose_for(base: LoadedBase) -> None:
    chosen: list[list[str]] = []
    decoder = Decoder(
        base.model,
        base.tokenizer,
        eos_ids=base.eos_ids,
        pad_id=base.pad_id,
        choose=lambda slots: chosen.append(list(slots)),
    )
    decoder.join(rows(base, TEXTS[:2], max_new=1))
    assert not decoder.rows
    assert chosen == [["", ""]]


def test_text_is_only_given_out_once_it_is_certain(base: LoadedBase) -> None:
    pieces: list[str] = []
    (row,) = rows(
        base, ["x"], emit=lambda piece, _: pieces.append(piece), stop=("END",), max_new=99
    )
    for token in base.tokenizer("naïve E ENx END more")["input_ids"]:
        if row.finish_reason is None:
            row.accept(token, base.tokenizer, base.eos_ids)
    assert "".join(pieces) == "naïve E ENx "
    assert not any("\N{REPLACEMENT CHARACTER}" in piece for piece in pieces)
    assert row.finish_reason == "stop"


def test_greedy_decoding_agrees_with_transformers(base: LoadedBase) -> None:
    ids = base.tokenizer("what comes next", return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        theirs = base.model.generate(ids, max_new_tokens=20, do_sample=False)[0, ids.shape[1] :]
    assert answers(base, rows(base, ["what comes next"]))[0] == theirs.tolist()

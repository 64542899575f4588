"""Which requests are read together, and what is kept of their prompts."""

from __future__ import annotations

import itertools
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from ftctl_worker.hyperparameters import TrainingDefaults
from ftctl_worker.models import adapters
from ftctl_worker.models.bases import BaseModel
from ftctl_worker.models.loading import load_base
from ftctl_worker.serving import resident as serving
from ftctl_worker.serving.chat_request import parse_chat
from ftctl_worker.serving.decoding import Decoder
from ftctl_worker.serving.replies import Delta, Done, Reply
from ftctl_worker.serving.resident import Shelf
from ftctl_worker.serving.row_state import RowState
from ftctl_worker.serving.seats import Seat, read_together
from ftctl_worker.serving.ticket import Target, Ticket
from hypothesis import given
from hypothesis import strategies as st

_NUMBERS = itertools.count()


def seat(length: int, slot: str = "a") -> Seat:
    start = 1000 * next(_NUMBERS)  # no two begin alike
    row = RowState(
        ids=list(range(start, start + length)), max_new=1, temperature=0, top_p=1, seed=0,
        stop=(), emit=lambda *_: None, is_cancelled=lambda: False, slot=slot,
    )  # fmt: skip
    ticket: Any = None
    return Seat(ticket, row)


def cost(group: list[Seat], overhead: int) -> int:
    return len(group) * max(len(one.row.ids) for one in group) + overhead


@given(
    lengths=st.lists(st.integers(1, 90), min_size=1, max_size=20),
    slots=st.integers(1, 3),
    overhead=st.integers(0, 200),
)
def test_reading_by_length_never_costs_more_than_reading_all_at_once(
    lengths: list[int], slots: int, overhead: int
) -> None:
    seats = [seat(length, str(number % slots)) for number, length in enumerate(lengths)]
    groups = read_together(seats, overhead)
    assert sorted(id(one) for group in groups for one in group) == sorted(map(id, seats))
    assert sum(cost(group, overhead) for group in groups) <= cost(seats, overhead)


def test_one_long_prompt_does_not_make_the_others_long() -> None:
    groups = read_together([seat(400), *(seat(20) for _ in range(31))])
    assert sorted(map(len, groups)) == [1, 31]
    assert [len(group) for group in read_together([seat(20) for _ in range(9)])] == [9]


class Asking:
    """Asks a shelf, and keeps texts and ends."""

    def __init__(self, shelf: Shelf, base: BaseModel) -> None:
        self.shelf, self.base = shelf, base

    def __call__(
        self, *asked: tuple[str, Path | None], **options: Any
    ) -> tuple[list[str], list[Done]]:
        texts, ends = [""] * len(asked), [Done("stop", 0, 0, 0)] * len(asked)

        def deliver(number: int, reply: Reply) -> None:
            if isinstance(reply, Delta):
                texts[number] += reply.text
            else:
                assert isinstance(reply, Done), reply
                ends[number] = reply

        tickets = []
        for number, (content, adapter) in enumerate(asked):
            body = {"messages": [{"role": "user", "content": content}], "max_tokens": 12}
            chat = parse_chat({**body, "model": "mini", "temperature": 0, **options})
            tickets.append(Ticket(chat, Target(self.base, adapter), partial(deliver, number)))
        self.shelf.answer(tickets)
        return texts, ends


@pytest.fixture
def asking(models_dir: Path, tmp_path: Path) -> Asking:
    base = BaseModel(name="mini", kind="folder", location=str(models_dir / "mini"))
    return Asking(Shelf(cache=tmp_path, threads=1, precision="fp32"), base)


@pytest.fixture
def adapter(asking: Asking, tmp_path: Path) -> Path:
    loaded = load_base(asking.base, precision="fp32", cache=tmp_path)
    torch.manual_seed(3)
    model = adapters.attach(loaded.model, TrainingDefaults(lora_r=4, lora_alpha=8))
    for name, value in adapters.trainable(model).items():
        if "lora_B" in name:
            torch.nn.init.normal_(value, std=0.3)
    folder = tmp_path / "job" / "step-1"
    folder.parent.mkdir()
    adapters.save(model, folder, base="mini", name="n", job_id="j", step=1, loss=0.0)
    return folder


def test_prompts_of_all_lengths_are_answered_as_they_are_alone(
    asking: Asking, adapter: Path
) -> None:
    asked = [
        (f"{number} " + "word " * (number * number % 37), adapter if number % 3 else None)
        for number in range(14)
    ]
    alone = [asking(one)[0][0] for one in asked]
    assert len(set(alone)) > 4
    assert asking(*asked)[0] == alone


def test_a_prompt_of_several_is_read_once(
    asking: Asking, adapter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [
        (f"{'word ' * 9}{number % 3}", adapter if number % 2 else None) for number in range(18)
    ]
    alone = [asking(one)[0][0] for one in asked]
    read: list[int] = []
    forward = Decoder._forward

    def counting(self: Decoder, ids: torch.Tensor, *rest: Any) -> torch.Tensor:
        read.append(ids.shape[0] if ids.shape[1] > 1 else 0)
        return forward(self, ids, *rest)

    monkeypatch.setattr(Decoder, "_forward", counting)
    assert asking(*asked)[0] == alone
    assert sum(read) == 6


def test_beginnings_are_remembered_within_bounds(
    asking: Asking, adapter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "_MOST_REMEMBERED", 120)
    text = "the same beginning " * 4

    def known(adapter: Path | None) -> int:
        return asking((text, adapter))[1][0].cached_tokens

    assert [known(None), known(None) > 70] == [0, True]
    assert [known(adapter), known(adapter) > 70] == [0, True]
    assert known(None) == 0

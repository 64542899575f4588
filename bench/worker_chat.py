"""Chats for several adapters over one base: one request after another, and mixed in one batch."""

from __future__ import annotations

import itertools
import random
from functools import partial
from typing import TYPE_CHECKING

import torch
from ftctl_worker.hardware import resident_bytes
from ftctl_worker.models import adapters
from ftctl_worker.models.loading import load_base
from ftctl_worker.serving.chat_request import ChatRequest
from ftctl_worker.serving.replies import Delta, Done, Reply
from ftctl_worker.serving.resident import Shelf
from ftctl_worker.serving.ticket import Target, Ticket
from worker_shared import DEFAULTS, SEED, UNIT, WORDS, Measured, clock, endless, in_turn

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ftctl_worker.models.bases import BaseModel


def chat_table(base: BaseModel, place: Path, repeats: int) -> list[str]:
    """Answer the same requests one by one, and in batches that mix adapters.

    Untrained adapters end most answers after three tokens, like labels; answers that do not end
    before their 24 tokens show what a token costs.
    """
    lines = [
        f"Chats with {base.name}: 32 requests, at most 24 new tokens each, {UNIT}",
        f"{'adapters':>8}{'tokens':>8}{'one by one':>18}{'mixed':>14}{'ratio':>8}"
        f"{'equal answers':>15}",
    ]
    ways = [base, endless(base, place)] if base.kind == "folder" else [base]
    for count, one in itertools.product((4, 8), ways):
        folders = _some_adapters(one, place / one.name, count)
        shelf = Shelf(cache=place, threads=torch.get_num_threads(), precision="auto")
        for folder in folders:
            _answer(shelf, one, [folder], 1)
        print(f"chats for {count} adapters of {one.name} ...", flush=True)
        best = in_turn(
            {
                "alone": lambda s=shelf, b=one, f=folders: _one_by_one(s, b, f),  # type: ignore[misc]
                "mixed": lambda s=shelf, b=one, f=folders: _answer(s, b, f, 32),  # type: ignore[misc]
            },
            repeats,
        )
        alone, mixed = best["alone"], best["mixed"]
        equal = sum(a == b for a, b in zip(alone.texts, mixed.texts, strict=True))
        lines.append(
            f"{count:>8}{mixed.tokens:>8}{alone.rate:>18,.0f}{mixed.rate:>14,.0f}"
            f"{mixed.rate / alone.rate:>8.2f}{equal:>12} of {len(mixed.texts)}"
        )
    return lines


def _one_by_one(shelf: Shelf, base: BaseModel, folders: Sequence[Path]) -> Measured:
    parts = [_answer(shelf, base, [folders[n % len(folders)]], 1, n) for n in range(32)]
    tokens, seconds = sum(one.tokens for one in parts), sum(one.seconds for one in parts)
    return Measured("", tokens, seconds, texts=[text for one in parts for text in one.texts])


def _answer(
    shelf: Shelf, base: BaseModel, folders: Sequence[Path], count: int, first: int = 0
) -> Measured:
    done: list[Done] = []
    texts = [""] * count

    def deliver(number: int, reply: Reply) -> None:
        if isinstance(reply, Delta):
            texts[number] += reply.text
        elif isinstance(reply, Done):
            done.append(reply)

    tickets = []
    for number in range(first, first + count):
        content = f"ticket {number}: " + " ".join(WORDS[: 5 + number % 11])
        chat = ChatRequest(
            model="m", messages=[{"role": "user", "content": content}], tools=None, max_tokens=24,
            temperature=0, top_p=1, seed=1, stop=(), stream=False, include_usage=False,
        )  # fmt: skip
        target = Target(base, folders[number % len(folders)])
        tickets.append(Ticket(chat, target, partial(deliver, number - first)))
    started = clock()
    shelf.answer(tickets)
    seconds = clock() - started
    assert len(done) == count
    return Measured("", sum(one.completion_tokens for one in done), seconds, texts=texts)


def _some_adapters(base: BaseModel, place: Path, count: int) -> list[Path]:
    folders = []
    for number in range(count):
        folder = place / f"adapters-{count}" / f"job-{number}" / "step-1"
        torch.manual_seed(number)
        model = adapters.attach(load_base(base, precision="fp32", cache=place).model, DEFAULTS)
        for name, value in adapters.trainable(model).items():
            if "lora_B" in name:
                torch.nn.init.normal_(value, std=0.02)
        folder.parent.mkdir(parents=True)
        adapters.save(model, folder, base="b", name="ft:b", job_id="j", step=1, loss=0.0)
        folders.append(folder)
    return folders


def chat_memory_table(base: BaseModel, place: Path, requests: int) -> list[str]:
    """Answer requests of all lengths over a base that others join, and look at the memory."""
    shelf = Shelf(cache=place, threads=torch.get_num_threads(), precision="auto")
    folders = _some_adapters(base, place, 4)
    chance = random.Random(SEED)
    lines = [f"Memory of chats with {base.name}, {requests} requests", f"{'request':>8}{'MiB':>8}"]
    every, asked = max(1, requests // 10), 0

    def ticket() -> Ticket:
        content = " ".join(chance.choices(WORDS, k=chance.randint(3, 200)))
        chat = ChatRequest(
            model="m", messages=[{"role": "user", "content": content}], tools=None,
            max_tokens=chance.randint(1, 32), temperature=0, top_p=1, seed=1, stop=(),
            stream=False, include_usage=False,
        )  # fmt: skip
        return Ticket(chat, Target(base, chance.choice(folders)), lambda _: None)

    def more(seated: int) -> list[Ticket]:
        nonlocal asked
        coming = min(16 - seated, requests - asked, chance.randint(0, 3))
        for _ in range(coming):
            asked += 1
            if asked % every == 0:
                lines.append(f"{asked:>8}{(resident_bytes() or 0) / 2**20:>8.0f}")
        return [ticket() for _ in range(coming)]

    while asked < requests:
        shelf.answer([ticket()], more)
    return lines

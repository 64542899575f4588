"""Requests that come while others are being answered."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ftctl_worker.models.bases import BaseModel
from ftctl_worker.serving.chat_request import ChatRequest
from ftctl_worker.serving.engine import Engine
from ftctl_worker.serving.replies import Delta, Done, Reply
from ftctl_worker.serving.ticket import Target, Ticket

from tests.worker.servers import wait_for


class Asked:
    """A request and what came back; ``moment`` counts the ends of all requests."""

    ends = 0

    def __init__(self, engine: Engine, base: BaseModel, tokens: int, text: str = "hello") -> None:
        self.text = ""
        self.first = threading.Event()
        self.done: Done | None = None
        self.moment = 0
        chat = ChatRequest(
            model="m", messages=[{"role": "user", "content": text}], tools=None, max_tokens=tokens,
            temperature=1.5, top_p=1, seed=4, stop=(), stream=True, include_usage=False,
        )  # fmt: skip
        self.ticket: Ticket
        (self.ticket,) = engine.submit(chat, Target(base, None), self._take)

    def _take(self, reply: Reply) -> None:
        if isinstance(reply, Delta):
            self.text += reply.text
        self.first.set()
        if isinstance(reply, Done):
            Asked.ends += 1
            self.moment, self.done = Asked.ends, reply

    def end(self) -> Done:
        done: Any = wait_for(lambda: self.done)
        assert isinstance(done, Done)
        return done


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    running = Engine(cache=tmp_path, threads=1, precision="fp32", max_batch=3)
    yield running
    running.stop()


@pytest.fixture
def base(models_dir: Path) -> BaseModel:
    return BaseModel(name="mini", kind="folder", location=str(models_dir / "mini"))


def test_a_short_request_joins_a_long_one_and_ends_before_it(
    engine: Engine, base: BaseModel
) -> None:
    alone = Asked(engine, base, 5, "what is it?")
    alone.end()
    long = Asked(engine, base, 200)
    assert long.first.wait(30)
    short = Asked(engine, base, 5, "what is it?")
    assert short.end().completion_tokens == 5
    assert long.end().completion_tokens > 5
    assert short.moment < long.moment
    assert short.text == alone.text


def test_whoever_goes_away_frees_the_place(engine: Engine, base: BaseModel) -> None:
    endless = [Asked(engine, base, 230, f"number {n}") for n in range(3)]
    assert endless[0].first.wait(30)
    waiting = Asked(engine, base, 3)
    endless[0].ticket.cancel()
    assert waiting.end().completion_tokens == 3
    assert endless[0].end().completion_tokens < 230
    assert waiting.moment < max(one.moment or 99 for one in endless)


def test_nobody_passes_a_request_over_another_model(engine: Engine, base: BaseModel) -> None:
    first = Asked(engine, base, 100)
    assert first.first.wait(30)
    other = Asked(engine, replace(base, name="another"), 3)
    late = Asked(engine, base, 3)
    late.end()
    assert first.moment < other.moment < late.moment

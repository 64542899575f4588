"""Asks every arm every sample once: from the cache, or by a pool of threads at this one edge."""

from __future__ import annotations

from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.domain.chat import ChatAnswer, ChatRequest
from orchestrator.domain.comparison import Arm, Plan, Progress, Sample, digest
from orchestrator.domain.errors import (
    ConfigurationError,
    FtctlError,
    ProviderRejected,
    RemoteNotFound,
    TryLater,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from orchestrator.domain.clock import Clock
    from orchestrator.domain.comparison import Comparisons
    from orchestrator.domain.provider import ChatHost

# A provider that fails this often in a row is down; asking on would only cost time.
_FAILURES_IN_A_ROW = 12
# Keys looked up, and answers committed, in one transaction.
_BATCH = 200


class Call(NamedTuple):
    """One sample put to one arm."""

    arm: Arm
    sample: Sample
    request: ChatRequest
    key: str


class Answered(NamedTuple):
    """What came back: an answer, or why there is none."""

    call: Call
    answer: ChatAnswer | None
    error: FtctlError | None = None


@dataclass(frozen=True, kw_only=True)
class Desk:
    """Who answers and where answers are kept.

    Attributes:
        chat: answers for every arm that names nobody else.
        account: fingerprint of that provider's account, a part of every key.
    """

    comparison: str
    chat: ChatHost
    account: str
    store: Comparisons
    clock: Clock


def answer_all(
    desk: Desk,
    arms: Sequence[Arm],
    samples: Sequence[Sample],
    plan: Plan,
    progress: Callable[[Progress], None] | None = None,
) -> Generator[Answered, None, None]:
    """Every arm's answer to every sample; known ones are not asked again.

    Each answer is committed before it is yielded, so a killed run repeats no call. On Ctrl-C the
    calls under way are waited for and kept: they are paid.

    Raises:
        TryLater: the provider failed many times in a row.
        ConfigurationError, RemoteNotFound: no key, or no such model; the first one ends the run.
    """
    total, done, cached, missing, in_a_row = len(arms) * len(samples), 0, 0, 0, 0
    for arm in arms:
        for at in range(0, len(samples), _BATCH):
            calls = [_call(desk, arm, sample, plan) for sample in samples[at : at + _BATCH]]
            for answered, known in _batch(desk, calls, plan.concurrency):
                done += 1
                cached += known
                missing += answered.answer is None
                in_a_row = in_a_row + 1 if answered.answer is None and not known else 0
                if progress is not None:
                    progress(Progress(done, total, cached, missing))
                yield answered
                if in_a_row >= _FAILURES_IN_A_ROW and answered.error is not None:
                    raise _down(answered.error, done - missing)


def answer_key(account: str, request: ChatRequest, repeat: int) -> str:
    """What makes two calls the same: account, model, the whole request, and the repeat."""
    return digest(
        {
            "account": account,
            "model": request.model,
            "messages": [dict(message) for message in request.messages],
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
            "seed": request.seed,
            "tools": [dict(tool) for tool in request.tools] if request.tools else None,
            "repeat": repeat,
        }
    )


def _call(desk: Desk, arm: Arm, sample: Sample, plan: Plan) -> Call:
    request = ChatRequest(
        model=arm.model,
        messages=arm.prompt(sample),
        max_tokens=plan.max_tokens,
        temperature=0.0,
        tools=sample.tools,
    )
    return Call(arm, sample, request, answer_key(arm.account or desk.account, request, arm.repeat))


def _batch(desk: Desk, calls: Sequence[Call], concurrency: int) -> Iterator[tuple[Answered, bool]]:
    """Answers of one batch, and whether each was known."""
    known = desk.store.cached([call.key for call in calls])
    _keep(desk, [Answered(call, known[call.key]) for call in calls if call.key in known])
    for call in calls:
        if call.key in known:
            yield Answered(call, known[call.key]), True
    asked = [call for call in calls if call.key not in known]
    for answered in _ask(desk, asked, concurrency):
        yield answered, False


def _ask(desk: Desk, calls: Sequence[Call], concurrency: int) -> Iterator[Answered]:
    # Two samples may ask the very same thing; it is asked once.
    waiting: dict[str, list[Call]] = {}
    for call in calls:
        waiting.setdefault(call.key, []).append(call)
    queue = deque(waiting)
    with ThreadPoolExecutor(max_workers=concurrency, thread_name_prefix="ask") as pool:
        under_way: dict[Future[ChatAnswer], str] = {}
        try:
            while queue or under_way:
                while queue and len(under_way) < concurrency:
                    key = queue.popleft()
                    under_way[pool.submit(_send, desk, waiting[key][0])] = key
                finished, _ = wait(under_way, return_when=FIRST_COMPLETED)
                landed = [a for f in finished for a in _land(waiting[under_way[f]], f)]
                _keep(desk, landed)
                for future in finished:
                    del under_way[future]
                yield from landed
        finally:
            # Reached on Ctrl-C and on errors, too: what is under way is paid, so it is kept.
            wait(under_way)
            for future, key in under_way.items():
                if future.exception() is None:
                    _keep(desk, [Answered(call, future.result()) for call in waiting[key]])


def _send(desk: Desk, call: Call) -> ChatAnswer:
    return (call.arm.chat or desk.chat).chat(call.request)


def _land(calls: Sequence[Call], future: Future[ChatAnswer]) -> list[Answered]:
    try:
        answer = future.result()
    except (ConfigurationError, RemoteNotFound):
        raise
    except (TryLater, ProviderRejected) as error:
        return [Answered(call, None, error) for call in calls]
    return [Answered(call, answer) for call in calls]


def _keep(desk: Desk, answers: Sequence[Answered]) -> None:
    rows: list[tuple[str, int, str, ChatAnswer]] = [
        (call.arm.name, call.sample.row, call.key, answer)
        for call, answer, _ in answers
        if answer is not None
    ]
    if rows:
        desk.store.keep(desk.comparison, rows, desk.clock.now())


def _down(error: FtctlError, kept: int) -> FtctlError:
    sentence = (
        f"The provider failed {_FAILURES_IN_A_ROW} times in a row; the last time: {error.message}"
    )
    hint = f"run the same command again: {kept} answers are kept and will not be asked again"
    if isinstance(error, TryLater):
        return TryLater(sentence, hint=hint)
    return ProviderRejected(sentence, hint=error.hint or hint)

"""Asks every arm every sample: from the cache, or by a pool of threads at this one edge."""

from __future__ import annotations

from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

from orchestrator.domain import failpoints
from orchestrator.domain.canonical import canonical, canonical_chat, digest_of
from orchestrator.domain.chat import ChatAnswer, ChatRequest
from orchestrator.domain.comparing.answerbook import Kept
from orchestrator.domain.comparing.arm import Arm, Plan, Progress
from orchestrator.domain.errors import (
    ConfigurationError,
    FtctlError,
    ProviderRejected,
    RemoteNotFound,
    TryLater,
)
from orchestrator.usecases.comparing.sample_file import portions
from orchestrator.usecases.comparing.till import Till

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

    from orchestrator.domain.clock import Clock
    from orchestrator.domain.comparing.answerbook import AnswerStore
    from orchestrator.domain.comparing.sample import Sample
    from orchestrator.domain.provider import ChatHost

# A provider that fails this often in a row is down; asking on would only cost time.
_FAILURES_IN_A_ROW = 12


@runtime_checkable
class Replay(Protocol):
    """A host that answers from what it kept, and keeps the repeats of a row apart."""

    def replay(self, request: ChatRequest, repeat: int) -> ChatAnswer:
        """The answer that was kept, counting repeats from 0."""
        ...


class Call(NamedTuple):
    """One sample put to one arm.

    Attributes:
        place: of the sample in the list that was asked.
        turn: counts repeated askings, from 0.
        repeat: the same, going on where an arm that is asked again had ended.
    """

    arm: Arm
    sample: Sample
    place: int
    turn: int
    repeat: int
    request: ChatRequest
    key: str

    @property
    def linked(self) -> str:
        """The arm's name, with the number of the asking where there are several."""
        return f"{self.arm.name}~{self.turn + 1}" if self.turn else self.arm.name


class Answered(NamedTuple):
    """What came back: an answer, or why there is none."""

    call: Call
    answer: ChatAnswer | None
    error: FtctlError | None = None


@dataclass(frozen=True, kw_only=True)
class Desk:
    """Who answers, where answers are kept, and who counts the money.

    Attributes:
        run: what answers are linked to in the store; None links them to nothing.
        chat: answers for every arm that names nobody else.
        account: fingerprint of that provider's account, a part of every key.
        records: whether answers are to be found again by the sample alone, whoever asked.
    """

    run: str | None
    chat: ChatHost
    account: str
    store: AnswerStore
    clock: Clock
    till: Till = field(default_factory=Till)
    records: bool = False


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
        AnswerIsNo: the next call could exceed the limit of the till.
        TryLater: the provider failed many times in a row.
        ConfigurationError, RemoteNotFound: no key, or no such model; the first one ends the run.
    """
    total, done = len(arms) * len(samples) * plan.repeats, 0
    cached, missing, in_a_row = 0, 0, 0
    for calls in _batches(desk, arms, samples, plan):
        for answered, known in _batch(desk, calls, plan.concurrency):
            done += 1
            cached += known
            missing += answered.answer is None
            in_a_row = in_a_row + 1 if answered.answer is None and not known else 0
            if progress is not None:
                progress(Progress(done, total, cached, missing, desk.till.known))
            yield answered
            if in_a_row >= _FAILURES_IN_A_ROW and answered.error is not None:
                raise _down(answered.error, done - missing)


def estimate(
    desk: Desk, arms: Sequence[Arm], samples: Sequence[Sample], plan: Plan
) -> tuple[float | None, int]:
    """Roughly what the answers that are not known yet will cost, and how many they are."""
    total, count = 0.0, 0
    for calls in _batches(desk, arms, samples, plan):
        paid = [call for call in calls if not desk.till.is_free(call.arm)]
        known = desk.store.cached([call.key for call in paid])
        asked = [call for call in paid if call.key not in known]
        usd = desk.till.estimate((c.arm, c.request, c.sample.reference) for c in asked)
        if usd is None:
            return None, count + len(asked)
        total, count = total + usd, count + len(asked)
    return total, count


def answer_key(account: str, request: ChatRequest, repeat: int) -> str:
    """What makes two calls the same: account, model, the whole request, and the repeat."""
    tools = canonical([dict(tool) for tool in request.tools]) if request.tools else "null"
    head, middle, tail = _frame(
        account=account,
        model=request.model,
        most=request.max_tokens,
        temperature=request.temperature,
        seed=request.seed,
        repeat=repeat,
    )
    return digest_of(f"{head}{canonical_chat(request.messages)}{middle}{tools}{tail}")


def asked_digest(
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]] | None,
    repeat: int = 0,
) -> str:
    """What makes two samples the same question, whoever is asked; repeats are kept apart."""
    offered = canonical([dict(tool) for tool in tools]) if tools else "null"
    turn = f",{repeat}" if repeat else ""
    return digest_of(f"[{canonical_chat(messages)},{offered}{turn}]")


# By type, too: 0 and 0.0 are the same number and not the same JSON.
@lru_cache(maxsize=64, typed=True)
def _frame(
    *,
    account: str,
    model: str,
    most: int,
    temperature: float | None,
    seed: int | None,
    repeat: int,
) -> tuple[str, str, str]:
    """Canonical JSON around the messages and the tools: the same for every row of an arm."""
    head = canonical({"account": account, "max_tokens": most})[:-1]
    middle = canonical({"model": model, "repeat": repeat, "seed": seed, "temperature": temperature})
    return f'{head},"messages":', f',{middle[1:-1]},"tools":', "}"


def _batches(
    desk: Desk, arms: Sequence[Arm], samples: Sequence[Sample], plan: Plan
) -> Iterator[list[Call]]:
    """Some rows are put to every arm before the next ones are read."""
    for first, some in portions(samples):
        for arm in arms:
            for turn in range(plan.repeats):
                yield [
                    _call(desk, arm, sample, plan, (place, turn))
                    for place, sample in enumerate(some, first)
                ]


def _call(desk: Desk, arm: Arm, sample: Sample, plan: Plan, where: tuple[int, int]) -> Call:
    place, turn = where
    request = ChatRequest(
        model=arm.model,
        messages=arm.prompt(sample),
        max_tokens=plan.max_tokens,
        temperature=plan.temperature,
        tools=sample.tools,
    )
    # An arm that is asked again starts where the repeats of the first asking end.
    repeat = arm.repeat * plan.repeats + turn
    key = answer_key(arm.account or desk.account, request, repeat)
    return Call(arm, sample, place, turn, repeat, request, key)


def _batch(desk: Desk, calls: Sequence[Call], concurrency: int) -> Iterator[tuple[Answered, bool]]:
    """Answers of one batch, and whether each was known."""
    known = desk.store.cached([call.key for call in calls])
    found = [Answered(call, known[call.key]) for call in calls if call.key in known]
    _keep(desk, found, known=True)
    for answered in found:
        yield answered, True
    asked = [call for call in calls if call.key not in known]
    if asked:
        for answered in _ask(desk, asked, concurrency):
            yield answered, False


def _ask(desk: Desk, calls: Sequence[Call], concurrency: int) -> Iterator[Answered]:
    # Two samples may ask the very same thing; it is asked once.
    waiting: dict[str, list[Call]] = {}
    for call in calls:
        waiting.setdefault(call.key, []).append(call)
    queue = deque(waiting)
    # What came and is not kept yet. The threads write it, for Ctrl-C may strike the one that asks
    # between handing out a call and noting that it did.
    paid: dict[str, ChatAnswer] = {}

    def send(key: str) -> ChatAnswer:
        paid[key] = answer = _send(desk, waiting[key][0])
        return answer

    with ThreadPoolExecutor(max_workers=concurrency, thread_name_prefix="ask") as pool:
        under_way: dict[Future[ChatAnswer], str] = {}
        try:
            while queue or under_way:
                while queue and len(under_way) < concurrency:
                    first = waiting[queue[0]][0]
                    if not desk.till.admits(queue[0], first.arm, first.request):
                        break
                    key = queue.popleft()
                    under_way[pool.submit(send, key)] = key
                if not under_way:
                    raise desk.till.exhausted()
                finished, _ = wait(under_way, return_when=FIRST_COMPLETED)
                landed = [a for f in finished for a in _land(desk, waiting[under_way[f]], f)]
                _keep(desk, landed)
                for future in finished:
                    paid.pop(under_way.pop(future), None)
                yield from landed
        finally:
            # Reached on Ctrl-C and on errors, too: what is under way is paid, so it is kept.
            pool.shutdown(cancel_futures=True)
            for key, answer in paid.items():
                _keep(desk, [Answered(call, answer) for call in waiting[key]])


def _send(desk: Desk, call: Call) -> ChatAnswer:
    failpoints.reach("compare.asking")
    host = call.arm.chat or desk.chat
    if isinstance(host, Replay):
        answer = host.replay(call.request, call.repeat)
    else:
        answer = host.chat(call.request)
    failpoints.reach("compare.answered")
    return answer


def _land(desk: Desk, calls: Sequence[Call], future: Future[ChatAnswer]) -> list[Answered]:
    first = calls[0]
    try:
        answer = future.result()
    except (ConfigurationError, RemoteNotFound):
        raise
    except (TryLater, ProviderRejected) as error:
        desk.till.settle(first.key, first.arm, None)
        return [Answered(call, None, error) for call in calls]
    desk.till.settle(first.key, first.arm, answer)
    return [Answered(call, answer) for call in calls]


def _keep(desk: Desk, answers: Sequence[Answered], *, known: bool = False) -> None:
    rows = [
        Kept(
            call.linked,
            call.sample.row,
            call.key,
            answer,
            asked_digest(call.sample.messages, call.sample.tools, call.turn)
            if desk.records
            else "",
            known,
        )
        for call, answer, _ in answers
        if answer is not None
    ]
    if rows and not (known and desk.run is None):
        desk.store.keep(desk.run, rows, desk.clock.now())
        failpoints.reach("compare.kept")


def _down(error: FtctlError, kept: int) -> FtctlError:
    sentence = (
        f"The provider failed {_FAILURES_IN_A_ROW} times in a row; the last time: {error.message}"
    )
    hint = f"run the same command again: {kept} answers are kept and will not be asked again"
    if isinstance(error, TryLater):
        return TryLater(sentence, hint=hint)
    return ProviderRejected(sentence, hint=error.hint or hint)

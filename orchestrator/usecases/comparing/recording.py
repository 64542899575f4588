"""Freeze a model's answers on a sample set, before its shutdown makes that impossible."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.domain.comparing.answerbook import Recording
from orchestrator.domain.comparing.arm import Arm
from orchestrator.domain.errors import ProviderRejected, UsageError
from orchestrator.usecases.comparing.answering import Desk, answer_all, asked_digest, estimate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from orchestrator.domain.chat import ChatAnswer, ChatRequest
    from orchestrator.domain.clock import Clock
    from orchestrator.domain.comparing.answerbook import Recordings
    from orchestrator.domain.comparing.arm import Plan, Progress
    from orchestrator.domain.comparing.sample import Sample
    from orchestrator.domain.provider import Provider
    from orchestrator.usecases.comparing.samples import SampleSet
    from orchestrator.usecases.comparing.till import Till


@dataclass(frozen=True)
class FrozenHost:
    """Answers as the recorded model did; the port of chat over a recording."""

    name: str
    answers: Mapping[str, ChatAnswer]

    def chat(self, request: ChatRequest) -> ChatAnswer:
        """The recorded answer.

        Raises:
            ProviderRejected: this was not recorded.
        """
        return self.replay(request, 0)

    def replay(self, request: ChatRequest, repeat: int) -> ChatAnswer:
        """The answer recorded at that repeat, from 0.

        Raises:
            ProviderRejected: this was not recorded.
        """
        found = self.answers.get(asked_digest(request.messages, request.tools, repeat))
        if found is not None:
            return found
        if repeat and asked_digest(request.messages, request.tools) in self.answers:
            raise ProviderRejected(
                f"The recording '{self.name}' asked this row {repeat} times only.",
                hint="ftctl record --repeats N under another name, or fewer --repeats",
            )
        raise ProviderRejected(f"The recording '{self.name}' has no answer to this row.")


@dataclass(frozen=True, kw_only=True)
class Studio:
    """Who answers and where it is kept.

    Attributes:
        provider: of the model that is recorded; `profile` its name, `kind` what drives it.
        till: counts the money, and holds its limit.
    """

    provider: Provider
    profile: str
    kind: str
    store: Recordings
    clock: Clock
    till: Till


def record(
    studio: Studio,
    *,
    model: str,
    name: str,
    samples: SampleSet,
    plan: Plan,
    progress: Callable[[Progress], None] | None = None,
    test_file: str | None = None,
) -> Recording:
    """Ask a model every sample and keep the answers under a name.

    The same command again goes on where a stopped one was, and pays for no answer twice.

    Raises:
        UsageError: the name belongs to something else, or the estimate exceeds the limit.
        BudgetExceeded: the estimate exceeds what is left of the month.
        TryLater: the provider failed many times in a row.
    """
    host = studio.provider
    recording = studio.store.open(
        Recording(
            name=name,
            provider=studio.profile,
            kind=studio.kind,
            account=host.account,
            model=model,
            test=samples.digest,
            rows=0,
            missing=0,
            created_at=studio.clock.now(),
            max_tokens=plan.max_tokens,
            repeats=plan.repeats,
            temperature=plan.temperature,
            test_file=test_file,
        )
    )
    desk = Desk(
        run=name,
        chat=host,
        account=host.account,
        store=studio.store,
        clock=studio.clock,
        till=studio.till,
        records=True,
    )
    arm = Arm(name=name, model=model, prompt=lambda sample: sample.messages, kind=studio.kind)
    if studio.till.is_limited:
        usd, _ = estimate(desk, [arm], samples.samples, plan)
        studio.till.refuse(usd)
        studio.till.open({} if studio.till.is_free(arm) else {studio.till.payer(arm): usd or 0.0})
    missing = 0
    with closing(answer_all(desk, [arm], samples.samples, plan, progress)) as answers:
        for answered in answers:
            missing += answered.answer is None
    asked = len(samples.samples) * plan.repeats
    return studio.store.close(recording.name, asked - missing, missing)


def recorded_arm(
    name: str, recording: Recording, answers: Mapping[str, ChatAnswer], samples: Sequence[Sample]
) -> Arm:
    """An arm that answers from a recording.

    Raises:
        UsageError: the recording was made on other rows.
    """
    lacking = sum(asked_digest(s.messages, s.tools) not in answers for s in samples)
    if 2 * lacking > len(samples):
        raise UsageError(
            f"The recording '{recording.name}' has no answer to {lacking} of {len(samples)} rows: "
            "it was made on another test file.",
            hint=f"ftctl record {recording.model} --provider {recording.provider} --test FILE",
        )
    made = recording.created_at.date().isoformat()
    return Arm(
        name=name,
        model=recording.model,
        prompt=lambda sample: sample.messages,
        chat=FrozenHost(recording.name, answers),
        account=f"recorded:{recording.name}:{recording.account}:{recording.test[:12]}",
        provider=recording.provider,
        kind=recording.kind,
        free=True,
        note=f"recorded on {made} from {recording.provider}{_repeats(recording)}",
    )


def _repeats(recording: Recording) -> str:
    if recording.repeats == 1:
        return ""
    return f", {recording.repeats} times a row at temperature {recording.temperature:g}"

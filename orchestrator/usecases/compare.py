"""Compare arms on the same samples: ask, grade, pair, test, and put the result into one word."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from orchestrator.domain import power
from orchestrator.domain.comparison import Arm, Comparison, Plan, RowPair
from orchestrator.domain.errors import AnswerIsNo, TryLater
from orchestrator.domain.ids import new_id
from orchestrator.grading.registry import make_grader
from orchestrator.grading.text import TokenF1, normalise
from orchestrator.usecases.analysis import Analysis, Sheet
from orchestrator.usecases.answering import Answered, Desk, answer_all
from orchestrator.usecases.samples import SampleSet, calls_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from orchestrator.domain.chat import ChatAnswer
    from orchestrator.domain.clock import Clock
    from orchestrator.domain.comparison import Comparisons, Progress
    from orchestrator.domain.job import Job
    from orchestrator.domain.provider import ChatHost
    from orchestrator.grading.grader import Grader

_EXAMPLES = 10
_SHOWN = 300
# Letters a token holds at the very least, in any vocabulary worth the name; and room for markup.
_LETTERS_A_TOKEN = 2
_SPARE_TOKENS = 16
_MOST_TOKENS = 4096


def token_limit(references: Sequence[str]) -> int:
    """Most tokens an answer may need, from the longest reference in bytes."""
    longest = max(len(reference.encode("utf-8")) for reference in references)
    return min(_MOST_TOKENS, -(-longest // _LETTERS_A_TOKEN) + _SPARE_TOKENS)


def expected_detectable(rows: int, discordance: float = 0.2) -> float | None:
    """The smallest difference that so many rows find, before any is asked.

    Args:
        rows: how many samples.
        discordance: share of rows on which only one of two arms is right; 0.2 is a usual guess.
    """
    return power.detectable(rows, discordance)


def answer_text(answer: ChatAnswer) -> str:
    """What is graded: the text, or the tool calls as one line of JSON."""
    return answer.text or calls_text(list(answer.tool_calls))


def compare(
    job: Job,
    samples: SampleSet,
    arms: Sequence[Arm],
    *,
    chat: ChatHost,
    store: Comparisons,
    clock: Clock,
    plan: Plan,
    progress: Callable[[Progress], None] | None = None,
) -> Comparison:
    """Ask every arm every sample, and compare the candidates with the baselines.

    The plan is committed with its digest before the first call. Answers are kept as they come, so
    the same call again goes on where a killed run stopped, and pays for nothing twice.

    Raises:
        TryLater: too many samples went unanswered; asking again later goes on.
        AnswerIsNo: too many were refused, or could not be graded.
    """
    started = clock.now()
    fixed = _fixed(samples, arms, plan)
    identity = store.begin(new_id(), job.id, started, fixed)
    desk = Desk(comparison=identity, chat=chat, account=job.account, store=store, clock=clock)
    grader, sheets = make_grader(plan.grader), {arm.name: Sheet() for arm in arms}
    # Closed whatever happens here, so that calls under way are waited for and kept.
    with closing(answer_all(desk, arms, samples.samples, plan, progress)) as answers:
        for answered in answers:
            _grade(sheets[answered.call.arm.name], answered, grader)
    _refuse_gaps(sheets, len(samples.samples), plan.max_missing)
    rows = [s.row for s in samples.samples if all(s.row in sheets[a.name].scores for a in arms)]
    analysis = Analysis(samples, arms, sheets, grader, rows, plan)
    comparison = analysis.comparison(identity, job.id, started.isoformat(), fixed)
    comparison = replace(comparison, examples=_examples(comparison, sheets, samples, store))
    store.finish(identity, comparison.as_json())
    return comparison


def _fixed(samples: SampleSet, arms: Sequence[Arm], plan: Plan) -> dict[str, object]:
    return {
        **asdict(plan),
        "test": samples.digest,
        "rows": len(samples.samples),
        "arms": [[arm.name, arm.model, arm.note, arm.account] for arm in arms],
    }


def _grade(sheet: Sheet, answered: Answered, grader: Grader) -> None:
    call, answer, error = answered
    if answer is None:
        sheet.missing += 1
        sheet.error = error
        return
    text = answer_text(answer)
    score = grader.grade(text, call.sample.reference)
    sheet.usage.append((answer.prompt_tokens, answer.cached_tokens, answer.completion_tokens))
    sheet.latencies.append(answer.latency)
    sheet.truncated += answer.finish_reason == "length"
    if score.value is None:
        sheet.missing += 1
        return
    row = call.sample.row
    sheet.scores[row] = score.value
    sheet.overlaps[row] = TokenF1().grade(text, call.sample.reference).value or 0.0
    sheet.labels[row] = normalise(text)[:_SHOWN]


def _refuse_gaps(sheets: Mapping[str, Sheet], rows: int, most: float) -> None:
    """A row without a score is never a zero; too many of them, and there is no result."""
    for name, sheet in sheets.items():
        if sheet.missing <= most * rows:
            continue
        sentence = (
            f"{sheet.missing} of {rows} samples of the arm '{name}' have no score, more than "
            f"{most:.0%}"
        )
        if sheet.error is None:
            raise AnswerIsNo(f"{sentence}: they could not be graded.", hint="try another --grader")
        reason = f"{sentence}. The last error: {sheet.error.message}"
        if isinstance(sheet.error, TryLater):
            raise TryLater(reason, hint="run the same command again; answers so far are kept")
        raise AnswerIsNo(reason, hint=sheet.error.hint or "mend the rows, or allow --max-missing")


def _examples(
    comparison: Comparison, sheets: Mapping[str, Sheet], samples: SampleSet, store: Comparisons
) -> list[RowPair]:
    """Some rows that were lost, then some that were won, read back from the store."""
    names = comparison.decisive.candidate, comparison.decisive.baseline
    new, old = (sheets[name].scores for name in names)
    both = [s for s in samples.samples if s.row in new and s.row in old]
    lost = [s for s in both if new[s.row] < old[s.row]][:_EXAMPLES]
    won = [s for s in both if new[s.row] > old[s.row]][:_EXAMPLES]
    rows = [sample.row for sample in lost + won]
    texts = [
        {
            row: answer_text(answer)
            for row, answer in store.answers(comparison.id, name, rows).items()
        }
        for name in names
    ]
    return [
        RowPair(
            row=sample.row,
            asked=sample.asked[:_SHOWN],
            reference=sample.reference[:_SHOWN],
            candidate=texts[0][sample.row][:_SHOWN],
            baseline=texts[1][sample.row][:_SHOWN],
            won=new[sample.row] > old[sample.row],
        )
        for sample in lost + won
    ]

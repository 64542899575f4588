"""Compare arms on the same samples: ask, grade, pair, test, and put the result into one word."""

from __future__ import annotations

from array import array
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from orchestrator.domain.comparing import power
from orchestrator.domain.comparing.answerbook import ScoredRow
from orchestrator.domain.comparing.comparison import ArmResult, Comparison, RowPair
from orchestrator.domain.errors import AnswerIsNo, TryLater
from orchestrator.domain.ids import new_id
from orchestrator.grading.grader import CorpusGrader, Item, ModelGrader, Score, scorer
from orchestrator.grading.registry import make_grader
from orchestrator.usecases.comparing.analysis import Analysis
from orchestrator.usecases.comparing.answering import Answered, Desk, answer_all, estimate
from orchestrator.usecases.comparing.facts import facts_of
from orchestrator.usecases.comparing.judging import Bench
from orchestrator.usecases.comparing.sheets import Sheet, everywhere
from orchestrator.usecases.comparing.till import Till

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from orchestrator.domain.clock import Clock
    from orchestrator.domain.comparing.answerbook import Comparisons, Earlier
    from orchestrator.domain.comparing.arm import Arm, Plan, Progress
    from orchestrator.domain.comparing.sample import Sample
    from orchestrator.domain.jobs.job import Job
    from orchestrator.domain.provider import ChatHost
    from orchestrator.grading.grader import Grader
    from orchestrator.usecases.comparing.samples import SampleSet

_EXAMPLES = 10
_SHOWN = 300
# Letters a token holds at the very least, in any vocabulary worth the name; and room for markup.
_LETTERS_A_TOKEN = 2
_SPARE_TOKENS = 16
_MOST_TOKENS = 4096
# Rows up to which the power of parity is enumerated in a blink.
_MOST_EXACT = 800


def token_limit(references: Iterable[str]) -> int:
    """Most tokens an answer may need, from the longest reference in bytes."""
    # Where every letter is ASCII, which Python knows, nothing needs to be encoded to be counted.
    longest = max(
        len(text) if text.isascii() else len(text.encode("utf-8", "replace")) for text in references
    )
    return min(_MOST_TOKENS, -(-longest // _LETTERS_A_TOKEN) + _SPARE_TOKENS)


def expected_detectable(rows: int, discordance: float = 0.2) -> float | None:
    """The smallest difference that so many rows find, before any is asked.

    Args:
        rows: how many samples.
        discordance: share of rows on which only one of two arms is right; 0.2 is a usual guess.
    """
    return power.detectable(rows, discordance)


def expected_parity_rows(margin: float) -> dict[float, int]:
    """Rows that parity needs for 80 % power, by the share of rows on which the arms disagree.

    Exact for few rows, by formula for many: it is said before any is asked.
    """
    needed = {}
    for share in (0.02, 0.05, 0.10, 0.20):
        rough = power.rows_for_scores(margin, share, alpha=0.10)
        exact = power.rows_for_parity(margin, share) if rough < _MOST_EXACT else None
        needed[share] = exact or round(rough)
    return needed


def compare(
    job: Job | None,
    samples: SampleSet,
    arms: Sequence[Arm],
    *,
    chat: ChatHost,
    store: Comparisons,
    clock: Clock,
    plan: Plan,
    progress: Callable[[Progress], None] | None = None,
    till: Till | None = None,
    grader: Grader | None = None,
    bench: Bench | None = None,
    begun: Callable[[str], None] | None = None,
    asked_for: Mapping[str, Any] | None = None,
    facts: Mapping[str, Any] | None = None,
) -> Comparison:
    """Ask every arm every sample, and compare the candidates with the baselines.

    The plan is committed with its digest before the first call. Answers are kept as they come, so
    the same call again goes on where a killed run stopped, and pays for nothing twice.

    Args:
        job: whose tuned model it is; None where every arm names its own model and host.
        samples: the rows.
        arms: what is asked.
        chat: who answers for arms that name nobody else: the job's provider.
        store: where answers and the result are kept.
        clock: what tells the time.
        plan: everything else that is fixed before.
        progress: is told of every answer.
        till: counts the money, and holds its limit.
        grader: made from the plan's name when None.
        bench: of the model that judges, where the grader is one.
        begun: is told the id under which the run is kept, before the first call.
        asked_for: the words of it, as a spec file says them; kept with the result.
        facts: what makes it the same comparison as another one; kept likewise.

    Raises:
        TryLater: too many samples went unanswered; asking again later goes on.
        UsageError: the estimate exceeds the till's limit; nothing was asked.
        BudgetExceeded: the estimate exceeds what is left of the month; nothing was asked.
        AnswerIsNo: too many were refused, or could not be graded; or the limit was reached.
    """
    grader = grader or make_grader(plan.grader)
    if bench is None and isinstance(grader, ModelGrader):
        bench = Bench(grader)
    job_id, account = (job.id, job.account) if job else (None, "")
    till = till or Till(kind=job.kind if job else "")
    started, fixed = clock.now(), _fixed(samples, arms, plan)
    earlier = store.earlier(job_id, samples.digest)
    identity = store.begin(new_id(), job_id, started, fixed)
    if begun is not None:
        begun(identity)
    desk = Desk(run=identity, chat=chat, account=account, store=store, clock=clock, till=till)
    _refuse_dear(desk, arms, samples, plan, bench)
    run = _Run(
        desk, arms, samples.samples, plan, grader.name, None if bench else scorer(grader), bench
    )
    known = facts_of(samples.samples)
    sheets = run.sheets(store, labels=bool(known.labels), progress=progress)
    _refuse_gaps(sheets, len(samples.samples) * plan.repeats, plan.max_missing)
    places = everywhere(list(sheets.values()), len(samples.samples))
    whole = grader if isinstance(grader, CorpusGrader) else None
    analysis = Analysis(samples, known, arms, sheets, grader.name, places, plan, whole)
    comparison = analysis.comparison(identity, job_id, started.isoformat(), fixed)
    _keep_scores(store, identity, analysis)
    comparison = replace(
        comparison,
        examples=_examples(comparison, analysis, store),
        judging=bench.result() if bench else None,
        margin_after=_known_before(earlier, arms, plan),
        arms=[
            _priced(result, arm, till) for result, arm in zip(comparison.arms, arms, strict=True)
        ],
        spent=till.known,
        asked=till.asked,
        asked_for=asked_for or {},
        facts=facts or {},
    )
    store.finish(identity, comparison.as_json())
    return comparison


@dataclass(frozen=True)
class _Run:
    """One comparison under way; `grade` is None where a model does it afterwards."""

    desk: Desk
    arms: Sequence[Arm]
    samples: Sequence[Sample]
    plan: Plan
    metric: str
    grade: Callable[[Item], Score] | None
    bench: Bench | None

    def sheets(
        self, store: Comparisons, *, labels: bool, progress: Callable[[Progress], None] | None
    ) -> dict[str, Sheet]:
        """The graded answers of every arm, judged in a second round where a model grades."""
        size, words = len(self.samples), self.metric != "token_f1"
        found = {arm.name: Sheet(size, labels=labels, overlaps=words) for arm in self.arms}
        # Closed whatever happens here, so that calls under way are waited for and kept.
        with closing(
            answer_all(self.desk, self.arms, self.samples, self.plan, progress)
        ) as answers:
            for answered in answers:
                self._grade(found[answered.call.arm.name], answered)
        if self.bench is not None:
            self.bench.judge(
                self.desk,
                store,
                self.arms,
                self.samples,
                plan=self.plan,
                sheets=found,
                progress=progress,
            )
        return found

    def _grade(self, sheet: Sheet, answered: Answered) -> None:
        call, answer, error = answered
        if answer is None:
            sheet.fail(error)
            return
        sheet.add(call.place, answer, call.sample.reference)
        if self.grade is not None:
            found = self.grade(Item(sample=call.sample, answer=answer))
            sheet.score(call.place, found.value, found.reason, found.sums)


def _fixed(samples: SampleSet, arms: Sequence[Arm], plan: Plan) -> dict[str, object]:
    return {
        **_planned(plan),
        "test": samples.digest,
        "rows": len(samples.samples),
        "groups": samples.samples[0].group is not None,
        "arms": [[arm.name, arm.model, arm.note, arm.account] for arm in arms],
    }


def _planned(plan: Plan) -> dict[str, object]:
    # Left out where nothing is named, so that plans of before keep their digest.
    return {k: v for k, v in asdict(plan).items() if k != "baseline" or v is not None}


def _refuse_dear(
    desk: Desk, arms: Sequence[Arm], samples: SampleSet, plan: Plan, bench: Bench | None
) -> None:
    till = desk.till
    if not till.is_limited:
        return
    expected: dict[str, float] = {}
    known = True
    for arm in arms:
        usd, _ = estimate(desk, [arm], samples.samples, plan)
        known = known and usd is not None
        if not till.is_free(arm):
            expected[till.payer(arm)] = expected.get(till.payer(arm), 0.0) + (usd or 0.0)
    if bench is not None:
        usd = bench.expected(desk, arms, samples.samples, plan)
        known = known and usd is not None
        if usd:
            judge = bench.host.profile if bench.host else till.profile
            expected[judge] = expected.get(judge, 0.0) + usd
    till.refuse(sum(expected.values()) if known else None)
    till.open(expected)


def _priced(result: ArmResult, arm: Arm, till: Till) -> ArmResult:
    used = result.prompt_tokens, result.cached_tokens, result.completion_tokens
    usd = till.worth(arm, *used)
    return replace(result, usd_per_1000=None if usd is None else 1000 * usd)


def _known_before(earlier: Sequence[Earlier], arms: Sequence[Arm], plan: Plan) -> str | None:
    """A comparison that showed the same difference before this margin was fixed for it."""
    if plan.margin is None:
        return None
    candidates = {(arm.name, arm.model) for arm in arms if arm.candidate}
    against = {
        (arm.name, arm.model)
        for arm in arms
        if not arm.candidate and arm.again is None and plan.source in {None, arm.name}
    }
    seen = [run for run in earlier if run.arms & candidates and run.arms & against]
    return seen[0].id if seen and seen[0].margin != plan.margin else None


def _refuse_gaps(sheets: Mapping[str, Sheet], answers: int, most: float) -> None:
    """A row without a score is never a zero; too many of them, and there is no result."""
    for name, sheet in sheets.items():
        if sheet.missing <= most * answers:
            continue
        sentence = (
            f"{sheet.missing} of {answers} samples of the arm '{name}' have no score, more than "
            f"{most:.0%}"
        )
        if sheet.error is None:
            why = f" ({sheet.reason})" if sheet.reason else ""
            raise AnswerIsNo(
                f"{sentence}: they could not be graded{why}.", hint="try another --grader"
            )
        reason = f"{sentence}. The last error: {sheet.error.message}"
        if isinstance(sheet.error, TryLater):
            raise TryLater(reason, hint="run the same command again; answers so far are kept")
        raise AnswerIsNo(reason, hint=sheet.error.hint or "mend the rows, or allow --max-missing")


def _keep_scores(store: Comparisons, identity: str, analysis: Analysis) -> None:
    rows = array("L", (sample.row for sample in analysis.samples.samples))
    scores = {name: sheet.scored(rows) for name, sheet in analysis.sheets.items()}
    store.keep_scores(identity, _scored_rows(analysis), scores)


def _scored_rows(analysis: Analysis) -> Iterator[ScoredRow]:
    for place, sample in enumerate(analysis.samples.samples):
        part = analysis.facts.slice_of(place)
        yield ScoredRow(sample.row, sample.asked, sample.reference, part)


def _examples(comparison: Comparison, analysis: Analysis, store: Comparisons) -> list[RowPair]:
    """Some rows that were lost, then some that were won, read back from the store."""
    names = comparison.decisive.candidate, comparison.decisive.baseline
    new, old = (analysis.sheets[name].scores(analysis.places) for name in names)
    both = list(zip(analysis.places, new, old, strict=True))
    lost = [place for place, mine, theirs in both if mine < theirs][:_EXAMPLES]
    won = [place for place, mine, theirs in both if mine > theirs][:_EXAMPLES]
    samples = [analysis.samples.samples[place] for place in lost + won]
    rows = [sample.row for sample in samples]
    mine, theirs = (store.answers(comparison.id, name, rows) for name in names)
    return [
        RowPair(
            row=sample.row,
            asked=sample.asked[:_SHOWN],
            reference=sample.reference[:_SHOWN],
            candidate=mine[sample.row].said[:_SHOWN] if sample.row in mine else "",
            baseline=theirs[sample.row].said[:_SHOWN] if sample.row in theirs else "",
            won=place >= len(lost),
        )
        for place, sample in enumerate(samples)
    ]

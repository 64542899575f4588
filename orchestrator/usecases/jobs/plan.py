"""What a submission would do and cost, before anything is sent or written."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from orchestrator.datasets.checking.limits import limits_of, targets
from orchestrator.datasets.checking.preparation import prepare
from orchestrator.domain.errors import UsageError
from orchestrator.domain.jobs.dataset import Dataset, Split
from orchestrator.domain.jobs.job import Asked
from orchestrator.domain.money.cost import default_epochs
from orchestrator.domain.money.estimate import Estimate, Work, own_machine, training_estimate
from orchestrator.grading.submission import check_columns, columns_of, not_run_here
from orchestrator.usecases.jobs.dated import newest_request_limits
from orchestrator.usecases.jobs.intent import Intent, PreparedFile
from orchestrator.usecases.jobs.lifetimes import notes as last_words
from orchestrator.usecases.jobs.lifetimes import refuse_untrainable
from orchestrator.usecases.jobs.price_check import own_notes
from orchestrator.usecases.jobs.request_limits import Wanted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from orchestrator.domain.jobs.lifecycle import Lifecycle
    from orchestrator.domain.money.prices import PriceBook
    from orchestrator.domain.profile import Profile
    from orchestrator.domain.provider import Capabilities
    from orchestrator.usecases.jobs.ledger import Drafts


@dataclass(frozen=True, kw_only=True)
class Request(Asked):
    """What was typed."""

    profile: Profile
    training: Path
    validation: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A request whose data is valid, with what it will cost.

    Attributes:
        epochs: passes over the data, as asked for or as the provider is expected to choose.
        estimate: of the bill for training.
        warnings: what is worth a look, and stops nothing.
    """

    request: Request
    training: PreparedFile
    validation: PreparedFile | None
    epochs: int
    estimate: Estimate
    billed: bool
    warnings: tuple[str, ...] = ()

    @property
    def costs_money(self) -> bool:
        """The provider bills this, or may."""
        return self.billed and not self.estimate.is_free

    def lines(self) -> list[str]:
        """What will be done and what it will cost, for a person."""
        request, dataset = self.request, self.training.dataset
        tokens = f", {dataset.tokens:,} tokens a pass" if dataset.tokens is not None else ""
        lines = [
            f"train {request.model} on {request.profile.name} ({request.method})",
            f"  {dataset.rows} rows of {dataset.source}{tokens}, {self._passes()}",
        ]
        if self.validation is not None:
            lines.append(f"  validated on {self.validation.dataset.rows} rows")
        lines.append(f"  cost: {self._cost()}")
        return lines + [f"  note: {warning}" for warning in self.warnings]

    def estimate_json(self) -> dict[str, Any]:
        """What `submit --json` prints as `estimate`."""
        dataset = self.training.dataset
        return {
            **self.estimate.as_json(),
            "rows": dataset.rows,
            "tokens_per_epoch": dataset.tokens,
            "epochs": self.epochs,
            "epochs_chosen": self.request.hyperparameters.n_epochs is not None,
        }

    def intent(
        self, account: str, *, max_cost: int | None = None, allow_unpriced: bool = False
    ) -> Intent:
        """The intent to record, for that account and at most so many micro-dollars."""
        request = self.request
        return Intent(
            provider=request.profile.name,
            kind=request.profile.kind,
            account=account,
            training=self.training,
            validation=self.validation,
            **request.asked(),
            estimate=self.estimate,
            max_cost=max_cost,
            allow_unpriced=allow_unpriced,
        )

    def _passes(self) -> str:
        chosen = self.request.hyperparameters.n_epochs
        if not chosen:
            return "epochs chosen by the provider"
        return "1 epoch" if chosen == 1 else f"{chosen} epochs"

    def _cost(self) -> str:
        if not self.billed:
            return "nothing is billed; it is your own machine's time"
        return self.estimate.says()


@contextmanager
def plan(
    request: Request,
    capabilities: Capabilities,
    prices: PriceBook,
    lifecycle: Lifecycle,
    now: datetime,
    *,
    drafts: Drafts,
) -> Iterator[Plan]:
    """Validate the files, count and price; the prepared bytes live in a draft while the block runs.

    Raises:
        DatasetInvalid: a file has errors; nothing was sent.
        UsageError: the provider cannot do what was asked.
        AnswerIsNo: the provider takes no training jobs for the model any more.
    """
    _check(request, capabilities)
    sold_by, today = capabilities.prices or request.profile.kind, now.date()
    refuse_untrainable(lifecycle, sold_by, request.model, request.method, today)
    notes: list[str] = []
    with drafts() as folder:
        training = _prepared(request, Split.TRAIN, folder, now, notes)
        validation = (
            _prepared(request, Split.VALIDATION, folder, now, notes) if request.validation else None
        )
        _check_grader(request, training, validation, notes)
        epochs = request.hyperparameters.n_epochs or default_epochs(training.dataset.rows)
        billed = capabilities.prices is not None
        yield Plan(
            request=request,
            training=training,
            validation=validation,
            epochs=epochs,
            estimate=_estimate(request, capabilities, prices, training.dataset),
            billed=billed,
            warnings=(
                *notes,
                *own_notes(prices, sold_by, request.model),
                *last_words(lifecycle, sold_by, request.model, today),
            ),
        )


def revised(plan: Plan, request: Request, capabilities: Capabilities, prices: PriceBook) -> Plan:
    """The same data under another request: checked and priced anew, not read again.

    Raises:
        UsageError: the provider cannot do what is asked.
    """
    _check(request, capabilities)
    epochs = request.hyperparameters.n_epochs or default_epochs(plan.training.dataset.rows)
    estimate = _estimate(request, capabilities, prices, plan.training.dataset)
    return replace(plan, request=request, epochs=epochs, estimate=estimate)


def breaches(request: Request, capabilities: Capabilities) -> Iterator[UsageError]:
    """Everything that the provider does not take, one by one; reads no data."""
    yield from _by_capability(request, capabilities)
    limits = newest_request_limits(request.profile.kind)
    for breach, mend in limits.breaches(_wanted(request)):
        yield UsageError(f"{breach}.", hint=mend)


def _check(request: Request, capabilities: Capabilities) -> None:
    for error in _by_capability(request, capabilities):
        raise error
    newest_request_limits(request.profile.kind).check(_wanted(request))


def _by_capability(request: Request, capabilities: Capabilities) -> Iterator[UsageError]:
    provider = request.profile.name
    if request.method not in capabilities.methods:
        can = ", ".join(sorted(capabilities.methods))
        yield UsageError(
            f"Provider '{provider}' cannot train with {request.method}; it can: {can}."
        )
    longest = capabilities.free_suffix
    if request.suffix is not None and len(request.suffix) > longest:
        yield UsageError(
            f"--suffix has {len(request.suffix)} characters, and {provider} takes 1 to {longest}"
            f" characters{_beside_token(capabilities)}."
            if longest
            else f"Provider '{provider}' takes no suffix.",
            hint="a shorter --suffix" if longest else "leave --suffix away",
        )
    if request.options.metadata and not capabilities.metadata:
        yield UsageError(f"Provider '{provider}' takes no metadata.", hint="leave --metadata away")
    if request.options.wandb and not capabilities.integrations:
        yield UsageError(f"Provider '{provider}' reports to nobody.", hint="leave --wandb away")
    if request.options.training_type and not capabilities.training_types:
        yield UsageError(
            f"Provider '{provider}' knows no training types.", hint="leave --training-type away"
        )
    if request.options.own and not capabilities.own_options:
        flag = "--lora" if "lora" in request.options.own else "--worker"
        yield UsageError(
            f"Provider '{provider}' takes no {flag}, which is for workers of ftctl.",
            hint=f"leave {flag} away",
        )


def _wanted(request: Request) -> Wanted:
    return Wanted(
        provider=request.profile.name,
        method=request.method,
        hyperparameters=request.hyperparameters,
        options=request.options,
        suffix=request.suffix,
        seed=request.seed,
        has_validation=request.validation is not None,
    )


def _beside_token(capabilities: Capabilities) -> str:
    by_token = capabilities.free_suffix < capabilities.suffix_limit
    return " beside the token by which a lost job is found" if by_token else ""


def _check_grader(
    request: Request, training: PreparedFile, validation: PreparedFile | None, notes: list[str]
) -> None:
    grader = request.options.grader
    if grader is None:
        return
    columns = columns_of(grader)
    for prepared in (training, validation):
        if prepared is not None:
            with prepared.content.open("rb") as lines:
                check_columns(columns, lines, prepared.dataset.source)
    why = not_run_here(grader)
    if why:
        notes.append(f"ftctl compare cannot run this grader: {why}")


def _prepared(
    request: Request, split: Split, folder: Path, now: datetime, notes: list[str]
) -> PreparedFile:
    path = request.training if split is Split.TRAIN else request.validation
    assert path is not None
    content = folder / f"{split}.jsonl"
    target = _target(request)
    prepared = prepare(
        path,
        target=target,
        method=request.method,
        model=request.model,
        longest=request.options.own.get("max_length"),
        split=split,
    )
    prepared.write_to(content)
    if prepared.cut_rows:
        notes.append(f"too long, so that their end is not trained on: {prepared.cut_rows} rows")
    if prepared.findings:
        named = f"{path} --for {target} --method {request.method} --model {request.model}"
        notes.append(f"warnings in {path}: {len(prepared.findings)}; ftctl validate {named}")
    dataset = Dataset(
        digest=prepared.digest,
        bytes=prepared.size,
        rows=prepared.rows,
        tokens=prepared.tokens,
        source=str(path),
        created_at=now,
    )
    return PreparedFile(dataset=dataset, content=content)


def _target(request: Request) -> str:
    # A plug-in's host is taken to want what OpenAI wants, whose dialect it speaks.
    kind = request.profile.kind
    return kind if kind in targets() else "openai"


def _estimate(
    request: Request, capabilities: Capabilities, prices: PriceBook, dataset: Dataset
) -> Estimate:
    if capabilities.prices is None:
        return own_machine(request.profile.usd_per_hour)
    limits = limits_of(_target(request), request.method)
    chosen = request.options.training_type or ""
    work = Work(
        model=request.model,
        method=request.method,
        tokens=dataset.tokens,
        rows=dataset.rows,
        epochs=request.hyperparameters.n_epochs,
        tiers=capabilities.training_types.get(chosen, capabilities.training_tiers),
        pause_usd=limits.reinforcement_pause_usd,
    )
    return training_estimate(work, capabilities.prices, prices)

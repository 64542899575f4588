"""What `ftctl submit` can ask of a provider beside data and model. Bounds are the provider's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.domain.errors import UsageError
from orchestrator.domain.jobs.job import Hyperparameters, JobOptions, Wandb

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_OPTIONS = (
    click.option("--epochs", "n_epochs", type=int, help="Passes over the data.  [default: auto]"),
    click.option("--batch-size", type=int, help="Examples a step.  [default: auto]"),
    click.option(
        "--learning-rate-multiplier",
        type=float,
        help="Factor on the provider's own learning rate.  [default: auto]",
    ),
    click.option(
        "--beta", type=float, help="dpo: how near to the base model to stay.  [default: auto]"
    ),
    click.option(
        "--grader", type=_FILE, help="reinforcement: OpenAI's grader JSON, which gives the reward."
    ),
    click.option(
        "--compute-multiplier",
        type=float,
        help="reinforcement: factor on the compute for exploring.  [default: auto]",
    ),
    click.option(
        "--eval-interval",
        type=int,
        help="reinforcement: steps between evaluations.  [default: auto]",
    ),
    click.option(
        "--eval-samples", type=int, help="reinforcement: samples an evaluation.  [default: auto]"
    ),
    click.option(
        "--reasoning-effort",
        type=click.Choice(["default", "low", "medium", "high"]),
        help="reinforcement: how long the model thinks.",
    ),
    click.option(
        "--lora",
        multiple=True,
        metavar="KEY=VALUE",
        help="A worker of ftctl: the adapter's shape: r=8, alpha=16, ...; may be repeated.",
    ),
    click.option(
        "--worker",
        multiple=True,
        metavar="KEY=VALUE",
        help="A worker of ftctl: engine=trl, learning_rate=2e-4, tuning=full, ...; may be repeated.",
    ),
    click.option("--suffix", help="Goes into the tuned model's name."),
    click.option("--seed", type=int, help="Same data and seed, same result."),
    click.option(
        "--metadata", multiple=True, metavar="KEY=VALUE", help="A label of yours; may be repeated."
    ),
    click.option("--wandb", metavar="PROJECT", help="Report to this Weights & Biases project."),
    click.option("--wandb-name", help="Name of the run there."),
    click.option("--wandb-entity", help="Team or user there."),
    click.option("--wandb-tag", "wandb_tags", multiple=True, help="A tag there; may be repeated."),
    click.option(
        "--training-type",
        type=click.Choice(["Standard", "GlobalStandard", "Developer"], case_sensitive=False),
        help="Azure: where and how the job runs.  [default: the profile's]",
    ),
)


_COST_OPTIONS = (
    click.option(
        "--max-cost",
        type=click.FloatRange(min=0),
        metavar="USD",
        help="Submit nothing that may cost more.",
    ),
    click.option(
        "--allow-unpriced", is_flag=True, help="Submit although nobody knows what it may cost."
    ),
)


def request_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command every option above, in that order."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def cost_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command --max-cost and --allow-unpriced."""
    for option in reversed(_COST_OPTIONS):
        command = option(command)
    return command


def hyperparameters_from(chosen: Mapping[str, Any]) -> Hyperparameters:
    """The knobs among what was typed."""
    names = Hyperparameters.__dataclass_fields__
    return Hyperparameters(**{name: chosen[name] for name in names})


def options_from(chosen: Mapping[str, Any], most_source_bytes: int) -> JobOptions:
    """Grader, metadata, integrations, training type and the worker's own among what was typed.

    Raises:
        UsageError: one of them makes no sense.
    """
    from orchestrator.domain.jobs.spec import own_options
    from orchestrator.grading.submission import read_grader_to_send
    from orchestrator.specs.pairs import table_of

    # Reading the tables' rules takes time, which most submissions need not spend.
    own = {name: table_of(name, chosen[name]) for name in ("worker", "lora") if chosen[name]}
    path: Path | None = chosen["grader"]
    return JobOptions(
        grader=read_grader_to_send(path, most_source_bytes) if path else None,
        metadata=_pairs(chosen["metadata"]),
        wandb=_wandb(chosen),
        training_type=chosen["training_type"],
        own=own_options({}, own),
    )


def _pairs(given: Sequence[str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for each in given:
        key, found, value = each.partition("=")
        if not found or not key:
            raise UsageError(f"--metadata {each} is no pair.", hint="--metadata KEY=VALUE")
        if key in pairs or key.startswith("ftctl_"):
            why = "is given twice" if key in pairs else "is ftctl's own"
            raise UsageError(f"The metadata key '{key}' {why}.", hint="--metadata OTHER=VALUE")
        pairs[key] = value
    return pairs


def _wandb(chosen: Mapping[str, Any]) -> Wandb | None:
    project = chosen["wandb"]
    if project:
        return Wandb(
            project=project,
            name=chosen["wandb_name"],
            entity=chosen["wandb_entity"],
            tags=tuple(chosen["wandb_tags"]),
        )
    if chosen["wandb_name"] or chosen["wandb_entity"] or chosen["wandb_tags"]:
        raise UsageError(
            "--wandb-name, --wandb-entity and --wandb-tag need a project.", hint="--wandb PROJECT"
        )
    return None

"""The options of `ftctl compare`, and the TOML file that may hold them."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.domain.errors import UsageError
from orchestrator.grading.registry import TASKS

if TYPE_CHECKING:
    from collections.abc import Callable

_FILE = click.Path(dir_okay=False, path_type=Path)


def _read_spec(ctx: click.Context, _parameter: click.Parameter, path: Path | None) -> Path | None:
    """Options from a TOML file; the command line overrides them."""
    if path is None:
        return None
    try:
        plain = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}.") from error
    known = {parameter.name for parameter in ctx.command.params}
    given = {_NAMES.get(name, name).replace("-", "_"): value for name, value in plain.items()}
    if strange := sorted(set(given) - known):
        raise UsageError(f"{path} sets what compare does not know: {', '.join(strange)}.")
    ctx.default_map = {**(ctx.default_map or {}), **given}
    return path


_NAMES = {"arm": "arms", "candidate": "candidates"}
_OPTIONS = (
    click.option(
        "--spec",
        type=_FILE,
        is_eager=True,
        callback=_read_spec,
        expose_value=False,
        help="TOML with these options: test, arms, grader, margin, ...",
    ),
    click.option("--test", type=_FILE, required=True, help="Chat JSONL."),
    click.option(
        "--arm",
        "arms",
        multiple=True,
        metavar="NAME",
        help="base, model:PROFILE/MODEL, few-shot:K|auto, rag:PATH, successor, tuned, tuned+few-shot:K, classical, "
        "recorded:NAME, again; with @PROFILE:MODEL for another provider. Repeat it. "
        "Default: base, few-shot:6, tuned.",
    ),
    click.option(
        "--candidate",
        "candidates",
        multiple=True,
        metavar="ARM",
        help="Arm that is to prove itself.  [default: tuned; without a job the last]",
    ),
    click.option(
        "--baseline", metavar="ARM", help="Arm that the verdict is about.  [default: the best]"
    ),
    click.option(
        "--provider",
        default="",
        metavar="PROFILE",
        help="Without a job: who answers for arms that name nobody.",
    ),
    click.option(
        "--training",
        type=_FILE,
        help="Without a job: chat JSONL that examples come from and no test row may repeat.",
    ),
    click.option("--task", type=click.Choice(list(TASKS)), help="Choose a grader by kind of task."),
    click.option("--grader", help="Grader of the primary metric.  [default: exact]"),
    click.option(
        "--margin", type=float, help="Largest loss that does not matter, in points (parity)."
    ),
    click.option("--source", metavar="ARM", help="Arm that parity is measured against."),
    click.option(
        "--max-cost", type=click.FloatRange(min=0), metavar="USD", help="Stop before spending more."
    ),
    click.option(
        "--allow-unpriced", is_flag=True, help="Ask arms without a price although a budget is set."
    ),
    click.option(
        "--limit", type=click.IntRange(min=1), help="Ask only so many rows, drawn by --seed."
    ),
    click.option(
        "--slice-by", metavar="FIELD", help="Field of a row, or of its metadata, to slice by."
    ),
    click.option(
        "--group-by", metavar="FIELD", help="Field of rows that depend on each other: a document."
    ),
    click.option(
        "--repeats", type=click.IntRange(1, 100), default=1, show_default=True, help="Per row."
    ),
    click.option("--temperature", type=click.FloatRange(0, 2), default=0.0, show_default=True),
    click.option(
        "--human", type=_FILE, help="JSONL of answers a person judged, to measure a judge by."
    ),
    click.option(
        "--seed", type=int, default=0, show_default=True, help="Of examples and resampling."
    ),
    click.option("--max-tokens", type=click.IntRange(min=1), help="Most tokens of an answer."),
    click.option("--max-missing", type=float, default=1.0, show_default=True, help="In percent."),
    click.option(
        "--concurrency",
        type=click.IntRange(1, 64),
        default=8,
        show_default=True,
        help="Calls at once.",
    ),
    click.option("--junit", type=_FILE, help="Write gates and rows here as JUnit XML, for CI."),
    click.option("--markdown", type=_FILE, help="Write the result here, for a pull request."),
    click.option("--allow-leakage", is_flag=True, help="Keep test rows that training has."),
    click.option(
        "--drop-near", is_flag=True, help="Leave out test rows that nearly repeat a training row."
    ),
)


def comparison_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Every option of `ftctl compare`, in the order of its help."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command

"""A first spec file for a kind of task: commented, valid, and ready to be run on this machine."""

from __future__ import annotations

from dataclasses import dataclass

_SAYS = {
    "classification": "answers are labels; case and white space do not count",
    "extraction": "answers are JSON; each field counts",
    "translation": "answers are texts, compared letter by letter (chrF)",
    "qa": "answers are short texts, compared word by word (token F1)",
    "tools": "answers call tools, or rightly call none",
    "chat": "answers are free texts; words in common (ROUGE-L) are a weak measure",
}
TASKS = tuple(_SAYS)
_TEMPLATE = """\
# A spec for ftctl: what is trained, on what, and how the result is measured.
#   ftctl plan {file}     what would be done, and what it would cost; sends nothing
#   ftctl apply {file}    does it; again does nothing, and goes on where it was stopped
# Every key: docs/specs.md. Completion in editors: ftctl spec schema > ftctl-spec.schema.json
# yaml-language-server: $schema=./ftctl-spec.schema.json

name: {task}
{provider}# a profile; ftctl providers list
{model}# tiny, smollm2, a folder, a Hub id, a provider's own model
{suffix}# goes into the tuned model's name
seed: 0                       # the same data and seed, the same result

# Chat JSONL, relative to this file. `ftctl convert` makes it from CSV and others.
data:
{data}

hyperparameters:              # what is left out is chosen by the provider
  n_epochs: 3
  # batch_size: 8
  # learning_rate_multiplier: 1

# Every arm answers the same test rows; the tuned model must beat the best prompt.
compare:
{grader}
  arms: [base, few-shot:6, tuned]
  # margin: 3                 # largest loss in points that does not matter; then parity passes, too
  # limit: 200                # ask only so many rows

# Try several settings, each in a job of its own. Validation rows choose, test rows never do.
# sweep:
#   grid: {{n_epochs: [1, 3], learning_rate_multiplier: [0.5, 1]}}

# budget:
#   max_cost: 20              # dollars for training and comparisons together

# Several tasks over this model: each with its own data, in place of `data` above.
# tasks:
#   first:  {{data: {{train: first/train.jsonl, test: first/test.jsonl}}}}
#   second: {{data: {{train: second/train.jsonl, test: second/test.jsonl}}}}
# mixed: true                 # also one adapter for all of them
"""
_FILES = """\
  train: {train}
{validation}
  test: {test}
  # or one file:  file: all.jsonl, split: {{validation: 0.1, test: 0.2}}"""
_ONE_FILE = """\
  file: {whole}
  split: {{validation: 0.1, test: 0.2, seed: 0}}"""


@dataclass(frozen=True, kw_only=True)
class Start:
    """What a first spec is filled with.

    Attributes:
        whole: one file with all rows, to be cut; else a file for each split.
        validation: None writes the line as a comment.
    """

    task: str = "classification"
    provider: str = "local"
    model: str = "tiny"
    train: str = "train.jsonl"
    validation: str | None = "validation.jsonl"
    test: str = "test.jsonl"
    whole: str | None = None


def first_spec(start: Start, file: str) -> str:
    """The text of the file."""
    return _TEMPLATE.format(
        file=file,
        task=start.task,
        provider=_padded(f"provider: {_quoted(start.provider)}"),
        model=_padded(f"model: {_quoted(start.model)}"),
        suffix=_padded(f"suffix: {start.task}"),
        data=_data(start),
        grader=_grader(start.task),
    )


def _data(start: Start) -> str:
    if start.whole is not None:
        return _ONE_FILE.format(whole=_quoted(start.whole))
    validation = (
        f"  validation: {_quoted(start.validation)}"
        if start.validation is not None
        else "  # validation: validation.jsonl"
    )
    return _FILES.format(
        train=_quoted(start.train), validation=validation, test=_quoted(start.test)
    )


def _grader(task: str) -> str:
    if task == "chat":
        return (
            f"  grader: rouge-l             # {_SAYS[task]}\n"
            "  # grader: judge:gpt-6-luna@openai   # a model that judges is the better one"
        )
    return _padded(f"  task: {task}") + f"# {_SAYS[task]}"


def _padded(text: str) -> str:
    """As long as the other lines that end in a comment."""
    return f"{text:<29} "


def _quoted(text: str) -> str:
    """The text as YAML, in quotes where it could be read as something else."""
    plain = text.replace("/", "").replace(".", "").replace("-", "").replace("_", "")
    safe = plain.isascii() and plain.isalnum() and not plain.isdigit() and text[0] not in "-."
    if safe and text.lower() not in {"true", "false", "null"}:
        return text
    return "'" + text.replace("'", "''") + "'"

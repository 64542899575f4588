"""`ftctl init`, `ftctl export` and `ftctl spec`: writing spec files, and looking at them."""

from __future__ import annotations

import json
from pathlib import Path

import click

from orchestrator import wiring
from orchestrator.cli.output import file_or_stdout, json_option, print_json, say
from orchestrator.domain.errors import ExitCode, UsageError
from orchestrator.specs.starting import TASKS

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command(
    epilog="\b\nExample:\n"
    "  ftctl init\n"
    "  ftctl init --task extraction --data all.jsonl invoices.yaml\n"
    "  ftctl init --provider openai --model gpt-4.1-mini-2025-04-14"
)
@click.argument("file", type=_FILE, default=Path("ftctl.yaml"))
@click.option("--task", type=click.Choice(TASKS), default="classification", show_default=True)
@click.option("--provider", default="local", show_default=True, help="Profile that trains.")
@click.option("--model", help="Base model.  [default: tiny on a worker]")
@click.option("--data", "whole", metavar="FILE", help="One file with all rows, to be cut.")
@click.option("--train", metavar="FILE", help="Training rows.  [default: train.jsonl]")
@click.option("--validation", metavar="FILE", help="Validation rows.")
@click.option("--test", metavar="FILE", help="Test rows.  [default: test.jsonl]")
@json_option
@click.pass_context
def init(
    ctx: click.Context,
    file: Path,
    task: str,
    provider: str,
    model: str | None,
    whole: str | None,
    train: str | None,
    validation: str | None,
    test: str | None,
    as_json: bool,
) -> int:
    """Write a first spec to FILE (ftctl.yaml): commented, valid, and never over another file.

    train.jsonl, validation.jsonl and test.jsonl beside FILE, or in its folder data/, are found.
    """
    from orchestrator.datasets.files.writing import written
    from orchestrator.specs.starting import Start, first_spec

    if whole and (train or validation or test):
        raise UsageError("--data and a file for each split exclude each other.")
    if file.suffix.lower() in {".json", ".toml"}:
        raise UsageError(
            "A first spec is written as YAML, which takes comments.", hint="ftctl init"
        )
    kind = wiring.app(ctx).settings.profile(provider).kind
    if model is None and kind not in {"peft", "simulator"}:
        raise UsageError(f"Which model of {provider}?", hint="--model gpt-4.1-mini-2025-04-14")
    folder = _folder_of_rows(file.parent)
    start = Start(
        task=task,
        provider=provider,
        model=model or "tiny",
        whole=whole,
        train=train or f"{folder}train.jsonl",
        validation=_validation(file.parent, folder, validation, split_by_hand=bool(train)),
        test=test or f"{folder}test.jsonl",
    )
    with written(file) as stream:
        stream.write(first_spec(start, str(file)).encode())
    if as_json:
        print_json({"file": str(file), "task": task, "provider": provider, "model": start.model})
    else:
        click.echo(str(file))
    say(f"next: ftctl plan {file}")
    return ExitCode.DONE


@click.command(
    epilog="\b\nExample:\n  ftctl export 3f2a\n  ftctl export 3f2a -o again.yaml && ftctl plan again.yaml"
)
@click.argument("job_id", metavar="JOB")
@click.option(
    "-o",
    "--out",
    type=_FILE,
    callback=file_or_stdout,
    help="File to write; standard output when not given.",
)
@json_option
@click.pass_context
def export(ctx: click.Context, job_id: str, out: Path | None, as_json: bool) -> int:
    """Write the spec of JOB, whoever asked for it: `ftctl plan` of it finds nothing to do."""
    from orchestrator.datasets.files.writing import written
    from orchestrator.specs.writing import to_yaml
    from orchestrator.usecases.pipelines.export import compare_comment, measured_by, spec_of

    app = wiring.app(ctx)
    job = app.jobs.find(job_id)
    reward = None
    if job.options.grader is not None:
        if out is None:
            raise UsageError("This job has a reward, which needs a file.", hint="-o FILE.yaml")
        reward = out.with_suffix(".reward.json")
        with written(reward) as stream:
            stream.write(json.dumps(job.options.grader, indent=2, ensure_ascii=False).encode())
    values = spec_of(job, app.datasets, reward.absolute() if reward else None)
    compared = app.comparisons.latest(job.id)
    measured = measured_by(compared)
    if measured:
        values["data"] |= measured["data"]
        values["compare"] = measured["compare"]
    if as_json and out is None:
        print_json(values)
        return ExitCode.DONE
    text = to_yaml(values) + ("" if measured else compare_comment(compared))
    if out is None:
        click.echo(text, nl=False)
        return ExitCode.DONE
    with written(out) as stream:
        stream.write(text.encode())
    if as_json:
        print_json(values)
    say(f"wrote {out}")
    return ExitCode.DONE


@click.group(epilog="\b\nExample:\n  ftctl spec check ftctl.yaml")
def spec() -> None:
    """Check a spec file; print its schema."""


@spec.command(epilog="\b\nExample:\n  ftctl spec schema > ftctl-spec.schema.json")
@json_option
def schema(as_json: bool) -> int:
    """Print the JSON Schema of spec files: for completion in editors, and to read."""
    from orchestrator.specs.checking import spec_schema

    del as_json
    print_json(spec_schema())
    return ExitCode.DONE


@spec.command(epilog="\b\nExample:\n  ftctl spec check ftctl.yaml --json")
@click.argument("file", type=_FILE)
@json_option
def check(file: Path, as_json: bool) -> int:
    """Check the file alone: no data is read and no provider looked up. Exit code 2: mistakes."""
    from orchestrator.specs.document import SpecInvalid
    from orchestrator.specs.whole import read_spec

    try:
        _, found = read_spec(file)
    except SpecInvalid as error:
        if not as_json:
            raise
        print_json({"ok": False, "mistakes": [mistake.as_json() for mistake in error.mistakes]})
        return error.exit_code
    if as_json:
        print_json({"ok": True, "mistakes": []})
    else:
        tasks = ", ".join(task.name for task in found.tasks)
        click.echo(f"{file}: no mistakes ({found.name}: {tasks})")
    return ExitCode.DONE


def _folder_of_rows(beside: Path) -> str:
    """Where train.jsonl lies: beside the file, or in data/."""
    here = (beside / "train.jsonl").is_file()
    return "data/" if not here and (beside / "data" / "train.jsonl").is_file() else ""


def _validation(beside: Path, folder: str, given: str | None, *, split_by_hand: bool) -> str | None:
    if given is not None:
        return given
    usual = f"{folder}validation.jsonl"
    nothing_yet = not split_by_hand and not (beside / f"{folder}train.jsonl").is_file()
    return usual if nothing_yet or (beside / usual).is_file() else None

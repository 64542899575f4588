"""validate: every mistake of a dataset, before anyone is paid."""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator import wiring
from orchestrator.cli.output import console, json_option, print_json, say
from orchestrator.domain.errors import ExitCode, UsageError
from orchestrator.domain.jobs.job import Method

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orchestrator.cli.findings import JsonStream
    from orchestrator.datasets.checking.validation import Validation

_MOST_WORKERS = 8
_KEPT = 1000
_FILE = click.Path(path_type=Path, dir_okay=False, allow_dash=True)
_NEW_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command(
    epilog="""\b
Example:
  ftctl validate train.jsonl --for openai
  ftctl validate train.jsonl --validation valid.jsonl --for azure --json
  ftctl validate train.jsonl --for peft --model ./smollm2 --show 17
  zcat train.jsonl.gz | ftctl validate - --for peft"""
)
@click.argument("files", nargs=-1, required=True, type=_FILE, metavar="FILE...")
@click.option(
    "--for",
    "target",
    default="openai",
    show_default=True,
    help="Whose rules hold: azure, peft, together, fireworks, mistral; compatible for others.",
)
@click.option(
    "--method",
    type=click.Choice([method.value for method in Method]),
    default=Method.SUPERVISED.value,
    show_default=True,
    help="What the rows are for.",
)
@click.option(
    "--model",
    help="Choose the vocabulary that tokens are counted with; a folder counts with its own "
    "tokenizer and chat template.",
)
@click.option(
    "--validation", type=_NEW_FILE, help="Check this file too, and look for rows of FILE in it."
)
@click.option(
    "--test",
    "tests",
    type=_NEW_FILE,
    help="Look for rows of FILE in this file, which is never uploaded.",
)
@click.option(
    "--task",
    type=click.Choice(["classification"]),
    help="Also tell how often each answer is given.",
)
@click.option("--near", is_flag=True, help="Also look for rows that nearly repeat (extra `near`).")
@click.option(
    "--max-findings",
    type=click.IntRange(min=0),
    help="Print at most so many findings of each kind (1; 0: all; --json prints all).",
)
@click.option("--no-tokens", is_flag=True, help="Do not count tokens; several times faster.")
@click.option(
    "--form-only",
    is_flag=True,
    help="Check the form alone: no tokens, no look into texts; fastest.",
)
@click.option("--histogram", is_flag=True, help="Show how long the rows are.")
@click.option("--show", type=click.IntRange(min=1), help="Show row N as the model will see it.")
@click.option("--sarif", type=_NEW_FILE, help="Write the findings here too, as SARIF 2.1.0.")
@click.option(
    "--fix",
    type=_NEW_FILE,
    help="Write the mended file here, where the mend is certain; each change is named.",
)
@click.option("--force", is_flag=True, help="Write over the files of --fix and --sarif.")
@json_option
def validate(
    files: tuple[Path, ...],
    target: str,
    method: str,
    model: str | None,
    validation: Path | None,
    tests: Path | None,
    task: str | None,
    near: bool,
    max_findings: int | None,
    no_tokens: bool,
    form_only: bool,
    histogram: bool,
    show: int | None,
    sarif: Path | None,
    fix: Path | None,
    force: bool,
    as_json: bool,
) -> int:
    """Check a dataset before a byte is uploaded.

    Every finding has a line, a JSON pointer, a code and a mend. Exit code 0: no errors; 1: errors.
    """
    from orchestrator.cli.findings import print_histogram, print_report
    from orchestrator.datasets.checking.validation import validate as check_file

    if show is not None:
        return _show(files, show, target=target, model=model, as_json=as_json)
    if fix is not None:
        _mend(files, fix, force=force)
        files = (fix,)
    check = functools.partial(
        check_file,
        target=target,
        method=method,
        model=model,
        count_tokens=not (no_tokens or form_only),
        content=not form_only,
        near=near,
        task=task,
        workers=min(os.cpu_count() or 1, _MOST_WORKERS),
        partial=True,
    )
    streamed = as_json and max_findings is None and sarif is None
    held = [each for each in (validation, tests) if each is not None]
    stream = _stream(several=len(files) + len(held) > 1) if streamed else None
    keep = _KEPT if max_findings is None else (max_findings or None)
    verdicts = _check_all(files, held, check, stream, keep, near=near)
    if sarif is not None:
        _write_sarif(sarif, verdicts, force=force)
    if as_json:
        _end(verdicts, stream, target=target, model=model)
    else:
        for verdict in verdicts:
            print_report(verdict, shown=1 if max_findings is None else keep)
            if histogram:
                print_histogram(verdict)
        _tell_cost(verdicts[0], target, model)
    if any(verdict.interrupted for verdict in verdicts):
        return ExitCode.INTERRUPTED
    return ExitCode.DONE if all(verdict.ok for verdict in verdicts) else ExitCode.NO


def _check_all(
    files: Sequence[Path],
    held: Sequence[Path],
    check: Callable[..., Validation],
    stream: JsonStream | None,
    keep: int | None,
    *,
    near: bool,
) -> list[Validation]:
    """The training files one by one, then those that must share no row with them."""
    from orchestrator.datasets.checking.near import NearDuplicates
    from orchestrator.datasets.content.leaks import Seen

    seen = Seen(NearDuplicates(questions=True) if near else None) if held else None
    verdicts: list[Validation] = []
    for index, path in enumerate((*files, *held)):
        of_training = index < len(files)
        name = str(path)
        with _Progress(path) as progress:
            once = functools.partial(
                check,
                sys.stdin.buffer if name == "-" else path,
                split="train" if of_training else "validation",
                training=None if of_training else seen,
                remember=seen if of_training else None,
                on_bytes=progress.advance,
            )
            verdict = _streamed(once, stream, name, path) if stream else once(keep=keep)
        verdicts.append(verdict)
        if verdict.interrupted:
            break
    return verdicts


def _streamed(
    check: Callable[..., Validation], stream: JsonStream, name: str, path: Path
) -> Validation:
    """Every finding to the stream. A large file is tried with all processes first: most have few."""
    from orchestrator.datasets.checking.validation import WORTH_A_PROCESS

    if path.is_file() and path.stat().st_size >= WORTH_A_PROCESS:
        verdict = check(keep=_KEPT)
        if verdict.interrupted or len(verdict.findings) == sum(verdict.counts.values()):
            for finding in verdict.findings:
                stream.write(name, finding)
            return verdict
    return check(keep=0, workers=1, on_finding=functools.partial(stream.write, name))


def _stream(*, several: bool) -> JsonStream:
    from orchestrator.cli.findings import JsonStream

    return JsonStream(several=several)


def _end(
    verdicts: Sequence[Validation], stream: JsonStream | None, *, target: str, model: str | None
) -> None:
    from orchestrator.cli.findings import report_as_json

    estimate = _estimate(verdicts[0], target, model)
    if stream is not None:
        stream.end(verdicts, estimate)
    else:
        print_json({**report_as_json(verdicts), "estimate": estimate})


class _Progress:
    """A bar on a terminal, for files that take a while; nothing elsewhere."""

    def __init__(self, path: Path) -> None:
        self._size = path.stat().st_size if path.is_file() else 0
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> _Progress:
        if sys.stderr.isatty() and self._size > 8 << 20:
            from rich.progress import Progress

            # No thread of its own: the processes that share the work are forked.
            self._bar = Progress(console=console(stderr=True), auto_refresh=False, transient=True)
            self._bar.start()
            self._task = self._bar.add_task("checking", total=self._size)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, many: int) -> None:
        """So many bytes more were read."""
        if self._bar is not None:
            self._bar.update(self._task, advance=many, refresh=True)


def _mend(files: Sequence[Path], out: Path, *, force: bool) -> None:
    from orchestrator.datasets.files.mending import mend_file

    if len(files) != 1 or str(files[0]) == "-":
        raise UsageError("--fix mends one file.", hint="ftctl validate FILE --fix OUT.jsonl")
    lines: dict[str, list[int]] = {}
    for change in mend_file(files[0], out, force=force):
        lines.setdefault(change.what, []).append(change.line)
    for what, where in lines.items():
        more = f" (and in {len(where) - 1} more line(s))" if where[1:] else ""
        say(f"line {where[0]}: {what}{more}")


def _write_sarif(path: Path, verdicts: Sequence[Validation], *, force: bool) -> None:
    import json
    from importlib.metadata import version

    from orchestrator.cli.sarif import sarif_of
    from orchestrator.datasets.files.writing import written

    with written(path, force=force) as out:
        out.write(json.dumps(sarif_of(verdicts, version("ftctl")), indent=1).encode())


def _show(
    files: Sequence[Path], number: int, *, target: str, model: str | None, as_json: bool
) -> int:
    from orchestrator.cli.findings import print_pieces
    from orchestrator.datasets.checking.limits import limits_of
    from orchestrator.datasets.tokens.open_models import model_folder, open_model
    from orchestrator.datasets.tokens.showing import cut_at, pieces_of, row_of

    if len(files) != 1 or str(files[0]) == "-":
        raise UsageError("--show reads one file.", hint="ftctl validate FILE --show 1")
    line, row = row_of(files[0], number)
    place = model_folder(model)
    folder = open_model(place) if place else None
    pieces = pieces_of(row, model=folder, name=model)
    most = folder.context if folder else limits_of(target).max_example_tokens
    cut = cut_at(pieces, most)
    if as_json:
        shown = [piece._asdict() for piece in pieces]
        print_json({"row": number, "line": line, "pieces": shown, "limit": most, "cut_at": cut})
    else:
        print_pieces(pieces, row=number, line=line, most=most, cut=cut)
    return ExitCode.DONE


def _estimate(verdict: Validation, target: str, model: str | None) -> dict[str, Any] | None:
    """What one pass over the training file costs; None where nothing is known of it."""
    if model is None or verdict.tokens is None or target not in {"openai", "azure"}:
        return None
    prices = wiring.app(click.get_current_context()).prices
    cost = prices.training_cost(provider=target, model=model, tokens=verdict.tokens)
    return {"usd": cost.usd, "epochs": 1, "note": cost.note}


def _tell_cost(verdict: Validation, target: str, model: str | None) -> None:
    from orchestrator.reports.words import dollars

    estimate = _estimate(verdict, target, model)
    if estimate is not None:
        usd = estimate["usd"]
        told = f"one pass of training: {dollars(usd)}, " if usd is not None else ""
        click.echo(f"  {told}{estimate['note']}")

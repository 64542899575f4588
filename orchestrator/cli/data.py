"""convert and split: other files into chat JSONL, and one file into three."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.output import file_or_stdout, json_option, print_json, say
from orchestrator.domain.errors import ExitCode, UsageError
from orchestrator.domain.jobs.dataset import Split
from orchestrator.domain.jobs.job import Method

if TYPE_CHECKING:
    from collections.abc import Sequence


_METHODS = click.Choice([method.value for method in Method])


@click.command(
    epilog="""\b
Example:
  ftctl convert sharegpt.json -o train.jsonl
  ftctl convert sms.tsv --columns label,text --system "Answer ham or spam." \\
    --user "{text}" --assistant "{label}" -o sms.jsonl
  ftctl convert pairs.jsonl --map "user={question}" --map "assistant={answer}" -o train.jsonl"""
)
@click.argument("source", type=click.Path(path_type=Path, allow_dash=True), metavar="IN")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    callback=file_or_stdout,
    help="Where to write; standard output when absent.",
)
@click.option("--from", "dialect", help="The dialect of IN; seen from each record when absent.")
@click.option("--to", help="Write this dialect instead of OpenAI chat: sharegpt, alpaca, ...")
@click.option(
    "--method",
    type=_METHODS,
    default=Method.SUPERVISED.value,
    show_default=True,
    help="What to write: dpo keeps both sides of a preference.",
)
@click.option("--system", help="A system message for every row that has none.")
@click.option("--user", help='What is asked, from columns or keys: "{text}".')
@click.option("--assistant", help='What is answered, from columns or keys: "{label}".')
@click.option(
    "--map",
    "maps",
    multiple=True,
    help='The same as one option: "user={question}"; "user={data.text}" looks inside.',
)
@click.option("--columns", help="The columns of a table without a header: label,text.")
@click.option(
    "--allow-loss", is_flag=True, help="Write rows that lost something; leave out others."
)
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@json_option
def convert(
    source: Path,
    out: Path | None,
    dialect: str | None,
    to: str | None,
    method: str,
    system: str | None,
    user: str | None,
    assistant: str | None,
    maps: tuple[str, ...],
    columns: str | None,
    allow_loss: bool,
    force: bool,
    as_json: bool,
) -> int:
    """Turn any dataset into chat JSONL.

    Knows the dialects of OpenAI, ShareGPT, Alpaca, TRL, LLaMA-Factory, axolotl, Anthropic, Gemini,
    Bedrock, Mistral, Cohere and Harmony, logged requests with their answers, exports of ChatGPT and
    Claude, the shapes of well-known datasets, JSON arrays, CSV, TSV and Parquet. What a row would lose is named, and refused without --allow-loss.
    """
    from orchestrator.datasets.converting import convert_file
    from orchestrator.datasets.dialects.conversion import Options
    from orchestrator.datasets.files.writing import spooled

    given = {"system": system, "user": user, "assistant": assistant, **_maps(maps)}
    options = Options(
        dialect=dialect,
        method=Method(method),
        system=given["system"],
        allow_loss=allow_loss,
        to=to,
    )
    if as_json and out is None:
        raise UsageError("--json needs -o: standard output cannot hold both.", hint="-o OUT.jsonl")
    with spooled(source) as path:
        report = convert_file(
            path,
            out,
            options,
            templates=_templates(given),
            columns=columns.split(",") if columns else None,
            force=force,
            stream=sys.stdout.buffer if out is None else None,
        )
    if as_json:
        print_json(report.as_json())
        return ExitCode.DONE
    for word, many in report.told():
        say(f"{word} ({many} row(s))" if many else word)
    where = out or "standard output"
    say(
        f"{report.written} row(s) to {where}"
        + (f", {report.left_out} left out" if report.left_out else "")
    )
    if out is not None:
        say(f"  try: ftctl validate {out}")
    return ExitCode.DONE


@click.command(
    epilog="""\b
Example:
  ftctl split data.jsonl --out splits
  ftctl split data.jsonl --out splits --train 1000 --validation 100 --test 200 --seed 7"""
)
@click.argument("source", type=click.Path(path_type=Path, allow_dash=True), metavar="FILE")
@click.option(
    "--out",
    "folder",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for train.jsonl, validation.jsonl and test.jsonl.",
)
@click.option("--train", type=float, help="Share (0.8) or number of rows.")
@click.option("--validation", type=float, help="Share (0.1) or number of rows.")
@click.option("--test", type=float, help="Share (0.1) or number of rows.")
@click.option("--group-by", help="Keep rows together that have the same value of this key.")
@click.option("--seed", type=int, default=0, show_default=True, help="Another seed, another cut.")
@click.option("--force", is_flag=True, help="Write over files that are there.")
@json_option
def split(
    source: Path,
    folder: Path,
    train: float | None,
    validation: float | None,
    test: float | None,
    group_by: str | None,
    seed: int,
    force: bool,
    as_json: bool,
) -> int:
    """Cut a dataset into train, validation and test.

    The same seed makes the same cut. Rows with the same question stay together, and where answers
    are labels every split gets its share of each. --group-by keeps the rows of one document, user
    or conversation together; the key is not written.
    """
    from orchestrator.datasets.files.writing import spooled
    from orchestrator.datasets.splitting import cut, read_rows, write_splits

    sizes = _sizes(train, validation, test)
    with spooled(source) as path:
        rows = read_rows(path)
    made = cut(rows, sizes, seed=seed, group_by=group_by)
    files = write_splits(rows, made, folder, force=force)
    if as_json:
        counts = {part.value: made.counts.get(part, 0) for part in sizes}
        paths = {part.value: str(path) for part, path in files.items()}
        print_json({"rows": len(rows), "counts": counts, "files": paths, "labels": made.labels})
        return ExitCode.DONE
    for part, path in files.items():
        click.echo(f"{path}  {made.counts.get(part, 0)} row(s)")
    if made.labels:
        say(f"every split has its share of the {made.labels} answers")
    if any(sizes[part] > 1 and sizes[part] != made.counts.get(part, 0) for part in sizes):
        say("rows with the same question stay together, so the sizes are near what was asked")
    if left := len(rows) - sum(made.counts.values()):
        say(f"{left} row(s) were not asked for and are left out")
    return ExitCode.DONE


def _maps(maps: Sequence[str]) -> dict[str, str]:
    given = {}
    for entry in maps:
        role, equals, template = entry.partition("=")
        if not equals or role not in {"system", "user", "assistant"}:
            raise UsageError(f"--map {entry!r} names no message.", hint='--map "user={question}"')
        given[role] = template
    return given


def _templates(given: dict[str, str | None]) -> Any:
    from orchestrator.datasets.files.tabular import Templates

    user, assistant = given["user"], given["assistant"]
    if user is None and assistant is None:
        return None
    if user is None or assistant is None:
        raise UsageError(
            "A mapping needs both messages.", hint='--user "{text}" --assistant "{label}"'
        )
    return Templates(user, assistant, given["system"])


def _sizes(train: float | None, validation: float | None, test: float | None) -> dict[Split, float]:
    if train is None and validation is None and test is None:
        train, validation, test = 0.8, 0.1, 0.1
    elif train is None:
        rest = (validation or 0) + (test or 0)
        if rest >= 1:
            raise UsageError("Say how many rows train takes.", hint="--train 1000")
        train = 1 - rest
    return {Split.TRAIN: train, Split.VALIDATION: validation or 0, Split.TEST: test or 0}

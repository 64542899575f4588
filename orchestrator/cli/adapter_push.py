"""`ftctl adapters push`: from a job or a folder to a version."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator import wiring
from orchestrator.cli.output import json_option, print_json, say
from orchestrator.domain.adapters.names import check_task
from orchestrator.domain.adapters.ports import AdapterHost
from orchestrator.domain.errors import UsageError
from orchestrator.domain.jobs.job import JobStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from orchestrator.domain.adapters.manifest import Manifest, Probe
    from orchestrator.domain.comparing.comparison import Comparison
    from orchestrator.domain.jobs.job import Job
    from orchestrator.domain.provider import Provider
    from orchestrator.usecases.adapters.push import Origin

    Prompts = Sequence[Sequence[Mapping[str, Any]]]

_ROWS = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(
    epilog="\b\nExample:\n  ftctl adapters push 7k2 --task tickets\n"
    "  ftctl adapters push ./my-lora --task tickets --base tiny --licence apache-2.0"
)
@click.argument("source", metavar="JOB|FOLDER")
@click.option("--task", help="Which adapter it is a version of.  [default: the job's suffix]")
@click.option("--comparison", metavar="ID", help="What measured it.  [default: the job's newest]")
@click.option("--licence", "--license", help="Under which others may use it.")
@click.option("--base", help="Base model of a FOLDER.  [default: what its configuration names]")
@click.option("--provider", default="local", show_default=True, help="Worker that tries a FOLDER.")
@click.option("--probes", "rows", type=_ROWS, help="Chat JSONL whose first 16 prompts are asked.")
@click.option("--no-probes", is_flag=True, help="Record no answers; verify has none to repeat.")
@json_option
@click.pass_context
def push(
    ctx: click.Context,
    /,
    *,
    source: str,
    task: str | None,
    comparison: str | None,
    licence: str | None,
    base: str | None,
    provider: str,
    rows: Path | None,
    no_probes: bool,
    as_json: bool,
) -> None:
    """Keep the adapter of a succeeded worker job, or of a local PEFT folder, as a new version.

    The same weights again are the version that is there. Some prompts are asked greedily and kept
    with their answers, so that `verify` can tell later whether they still come. With --probes these
    are rows of yours, and they are kept beside the weights.
    """
    from orchestrator.usecases.adapters.push import push as keep

    app = wiring.app(ctx)
    task = check_task(task or _suffix(app, source))
    prompts: Prompts = [] if no_probes else _prompts(rows)
    with app.adapters.stage() as stage:
        if Path(source).is_dir():
            origin, probes = _from_folder(app, Path(source), stage, base, provider, prompts)
        else:
            origin, probes = _from_job(app, source, stage, comparison, prompts)
        pushed = keep(app.adapters, stage, task, replace(origin, licence=licence), probes=probes)
    name = f"{task}@{pushed.manifest.version}"
    if as_json:
        print_json({"name": name, "new": pushed.new, **pushed.manifest.as_json()})
        return
    click.echo(f"{name}  {pushed.manifest.digest[:12]}{'' if pushed.new else '  (was there)'}")
    if pushed.new:
        say(f"next: {_next(pushed.manifest)}")


def _suffix(app: wiring.App, source: str) -> str:
    found = None if Path(source).is_dir() else app.jobs.find(source).suffix
    if not found:
        raise UsageError("Say which adapter this is a version of.", hint="--task tickets")
    return found.lower()


def _from_job(
    app: wiring.App, job_id: str, stage: Path, comparison: str | None, prompts: Prompts
) -> tuple[Origin, Callable[[], Sequence[Probe]]]:
    from orchestrator.usecases.adapters.probes import take
    from orchestrator.usecases.adapters.push import Origin

    job = app.jobs.find(job_id)
    model = job.tuned_model
    if job.status is not JobStatus.SUCCEEDED or model is None:
        raise UsageError(
            f"Job {job.id} has no adapter; it is {job.status}.", hint=f"ftctl status {job.id}"
        )
    provider = app.provider(job.provider)
    host = _host(provider, job)
    base = _base(host.describe_adapter(model))
    host.fetch_adapter(model, stage)
    measured = _measured(app, job, comparison)
    origin = Origin(base_model=base, job=job, comparison=measured)
    return origin, lambda: take(provider, model, prompts) if prompts else ()


def _next(manifest: Manifest) -> str:
    if manifest.metrics is None and manifest.job is not None:
        return f"ftctl compare {manifest.job['id']} --test test.jsonl, the gate of a promotion"
    return f"ftctl adapters promote {manifest.task} {manifest.version}"


def _from_folder(
    app: wiring.App,
    folder: Path,
    stage: Path,
    base: str | None,
    profile: str,
    prompts: Prompts,
) -> tuple[Origin, Callable[[], Sequence[Probe]]]:
    from orchestrator.usecases.adapters.probes import take
    from orchestrator.usecases.adapters.push import Origin, take_in

    take_in(folder, stage, base)
    if not prompts:
        return Origin(base_model={"name": base}), tuple
    provider = app.provider(profile)
    if not isinstance(provider, AdapterHost):
        raise UsageError(
            f"The provider '{profile}' cannot load an adapter from a folder.",
            hint="--provider local, or --no-probes",
        )
    found = _base(provider.describe_adapter(str(stage)))
    return Origin(base_model=found), lambda: take(provider, str(stage), prompts)


def _host(provider: Provider, job: Job) -> AdapterHost:
    if not isinstance(provider, AdapterHost):
        raise UsageError(
            f"Job {job.id} ran at '{job.provider}', which gives no adapters away.",
            hint="ftctl submit train.jsonl --provider local --model smollm2",
        )
    return provider


def _base(described: Mapping[str, Any]) -> Mapping[str, str | None]:
    base = described.get("base_model")
    found = base if isinstance(base, dict) else {}
    return {name: found.get(name) for name in ("name", "revision")}


def _measured(app: wiring.App, job: Job, wanted: str | None) -> Comparison | None:
    if wanted is None:
        return app.comparisons.latest(job.id)
    found = app.comparisons.find(wanted)
    if found.job_id != job.id:
        raise UsageError(f"Comparison {found.id} is of job {found.job_id}, not of {job.id}.")
    return found


def _prompts(rows: Path | None) -> Prompts:
    from orchestrator.usecases.adapters.probes import default_prompts

    if rows is None:
        return default_prompts()
    from orchestrator.usecases.comparing.samples import read_samples

    return [sample.messages for sample in read_samples(rows)]

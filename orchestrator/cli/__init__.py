"""The command line: parse, call one use case, print. One file per command group."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.lazy import LazyGroup
from orchestrator.domain.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence

EXAMPLE = """\b
Example:
  ftctl validate train.jsonl --for openai
  ftctl submit train.jsonl --provider local --model tiny --wait
  ftctl compare JOB --test test.jsonl
  ftctl report JOB
"""


@click.group(
    cls=LazyGroup,
    commands_from={
        "validate": (
            "orchestrator.cli.validate:validate",
            "Check a dataset before a byte is uploaded.",
        ),
        "convert": ("orchestrator.cli.data:convert", "Turn any dataset into chat JSONL."),
        "split": ("orchestrator.cli.data:split", "Cut a dataset into train, validation and test."),
        "dataset": ("orchestrator.cli.dataset:dataset", "Look into the store of datasets."),
        "submit": (
            "orchestrator.cli.submit:submit",
            "Validate, upload and start a fine-tuning job.",
        ),
        "status": ("orchestrator.cli.jobs:status", "Show all jobs, or one whole."),
        "events": ("orchestrator.cli.jobs:events", "Show the history of a job."),
        "sync": ("orchestrator.cli.sync:sync", "One pass over unfinished jobs; made for cron."),
        "cancel": ("orchestrator.cli.jobs:cancel", "Ask the provider to stop a job."),
        "pause": ("orchestrator.cli.jobs:pause", "Ask the provider to hold a job."),
        "resume": ("orchestrator.cli.jobs:resume", "Ask the provider to go on with a paused job."),
        "resolve": ("orchestrator.cli.jobs:resolve", "Settle a job that needs review."),
        "deploy": (
            "orchestrator.cli.deployments:deploy",
            "Let a tuned model answer, where it must be deployed.",
        ),
        "deployments": (
            "orchestrator.cli.deployments:deployments",
            "List what is deployed, and what it costs.",
        ),
        "undeploy": ("orchestrator.cli.deployments:undeploy", "End a deployment and its bill."),
        "compare": ("orchestrator.cli.compare:compare", "Measure a tuned model against baselines."),
        "record": (
            "orchestrator.cli.record:record",
            "Freeze a model's answers before it is shut down.",
        ),
        "recordings": ("orchestrator.cli.record:recordings", "List frozen answers."),
        "rows": ("orchestrator.cli.rows:rows", "Read rows that were won and lost."),
        "comparisons": ("orchestrator.cli.rows:comparisons", "List finished comparisons."),
        "checklist": (
            "orchestrator.cli.checklist:checklist",
            "Ask and answer what only a person knows.",
        ),
        "report": ("orchestrator.cli.report:report", "Write the decision report of a job."),
        "demo": ("orchestrator.cli.demo:demo", "See the whole of ftctl work, on real parts."),
        "ui": (
            "orchestrator.cli.ui:ui",
            "See jobs, data and reports in a browser on this machine.",
        ),
        "providers": ("orchestrator.cli.providers:providers", "List and check provider profiles."),
        "models": (
            "orchestrator.cli.models:models",
            "Tell until when models can be trained and answer.",
        ),
        "prices": ("orchestrator.cli.prices:prices", "List dated prices, and check them."),
        "db": ("orchestrator.cli.db:db", "Look after the database."),
        "worker": ("orchestrator.cli.worker:worker", "Run the self-hosted worker."),
        "simulator": (
            "orchestrator.cli.simulator:simulator",
            "Rehearse against a provider that costs nothing.",
        ),
        "webhooks": (
            "orchestrator.cli.webhooks:webhooks",
            "Hear from the provider that a job has ended.",
        ),
        "notifications": (
            "orchestrator.cli.notifications:notifications",
            "Who is told when a job ends.",
        ),
        "doctor": ("orchestrator.cli.doctor:doctor", "Look over the whole installation."),
        "cron": ("orchestrator.cli.cron:cron", "Print the line that polls for you."),
    },
    epilog=EXAMPLE,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="ftctl", prog_name="ftctl")
def cli() -> None:
    """One command line, one ledger and one worker for fine-tuning language models on any host."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ftctl and leave the process with the exit code that docs/cli.md promises."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None, obj: Any = None) -> int:
    """Run one command. The one place that turns errors into words and exit codes.

    Args:
        arguments: as typed, without the program's name; the process's own when None.
        obj: the wired application; made on first use when None.
    """
    from orchestrator.cli.errors import explain

    try:
        result = cli.main(
            args=list(arguments) if arguments is not None else None,
            prog_name="ftctl",
            standalone_mode=False,
            obj=obj,
        )
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return ExitCode.USAGE
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted; what was done so far is saved", err=True)
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # The reader left (`ftctl status | head`): close quietly, and keep Python from a second try.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.DONE
    except Exception as error:  # noqa: BLE001 - no traceback reaches a person
        return explain(error)
    return int(result) if isinstance(result, int) else ExitCode.DONE

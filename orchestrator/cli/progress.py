"""Waiting for a job with something to look at: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from orchestrator.cli.output import console, say
from orchestrator.usecases.jobs.follow import follow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from orchestrator.domain.comparing.arm import Progress
    from orchestrator.domain.jobs.job import Job
    from orchestrator.domain.provider import Provider
    from orchestrator.usecases.jobs.ledger import Ledger
    from orchestrator.usecases.jobs.sync import Progress as Now


def wait(job: Job, provider: Provider, ledger: Ledger, *, fast: bool) -> Job:
    """Follow a job to its end.

    Args:
        job: the job to stay with.
        provider: who has it.
        ledger: where it is written.
        fast: ask every other second, for a worker on this machine; every 15 seconds otherwise.
    """
    every = 2.0 if fast else 15.0
    try:
        if sys.stderr.isatty():
            return _with_spinner(job, provider, ledger, every)
        return _with_lines(job, provider, ledger, every)
    except KeyboardInterrupt:
        say(f"job {job.id} goes on without you; `ftctl status {job.id} --watch` comes back to it")
        raise


def _with_spinner(job: Job, provider: Provider, ledger: Ledger, every: float) -> Job:
    warn = _warner(ledger)
    with console(stderr=True).status(f"job {job.id} {job.status}") as spinner:

        def told(now: Job) -> None:
            warn(now)
            spinner.update(_line(now, ledger))

        return follow(job, provider, ledger, every=every, told=told)


def _with_lines(job: Job, provider: Provider, ledger: Ledger, every: float) -> Job:
    last, warn = "", _warner(ledger)

    def told(now: Job) -> None:
        nonlocal last
        warn(now)
        if str(now.status) != last:
            last = str(now.status)
            click.echo(f"job {now.id} {last}", err=True)

    return follow(job, provider, ledger, every=every, told=told)


def _warner(ledger: Ledger) -> Callable[[Job], None]:
    """Says each warning of a job once: who waits would not look for it among the events."""
    said: set[str] = set()

    def warn(job: Job) -> None:
        for event in ledger.jobs.events(job.id, newest=_LATELY):
            if event.level == "warning" and event.key not in said:
                said.add(event.key)
                say(f"  warning: {event.message}")

    return warn


_LATELY = 500


def _line(job: Job, ledger: Ledger) -> str:
    loss = [point for point in ledger.jobs.metrics(job.id) if point.name == "train_loss"]
    told = f", step {loss[-1].step}, loss {loss[-1].value:.3f}" if loss else ""
    return f"job {job.id} {job.status}{told}"


def answers() -> Callable[[Progress], None] | None:
    """A line that counts answers and money, on a terminal; nothing elsewhere."""
    if not sys.stderr.isatty():
        return None

    def show(now: Progress) -> None:
        known = f", {now.cached} known" if now.cached else ""
        lost = f", {now.missing} missing" if now.missing else ""
        paid = f", ${now.usd:.4f}" if now.usd else ""
        end = "\n" if now.done == now.total else ""
        click.echo(f"\r{now.done}/{now.total} answers{known}{lost}{paid}{end}", err=True, nl=False)

    return show


@contextmanager
def of_a_pass() -> Iterator[Callable[[Now], None] | None]:
    """A line that counts what a pass of sync has done, on a terminal; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return
    alone = threading.Lock()
    last = ""

    def show(now: Now) -> None:
        nonlocal last
        with alone:
            last = _counted(now)
            # Back to the start, the line, and whatever a longer one left is wiped.
            click.echo(f"\r{last}\x1b[K", err=True, nl=False)

    try:
        yield show
    finally:
        if last:
            click.echo(err=True)


def _counted(now: Now) -> str:
    if not now.due:
        return "no job is due"
    accounts = f"{now.accounts} account{'s' if now.accounts != 1 else ''}"
    asked = f"{now.checked} of {now.due} due jobs checked"
    return f"{accounts}: {asked}, {now.changed} changed, {now.requests} requests"

"""Answers spoilt in every way, to every question that ftctl asks: one sentence, and one job an intent.

    python -m tests.reliability.odd_answers --examples 1000 --seed 1

For each kind of provider: run a command, spoil one of the answers it gets, and look at what it says
and at its exit code. Then the host is well again and cron goes on; in the end jobs at the host must
equal intents, or ftctl must have stopped and asked.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from orchestrator import cli, wiring
from orchestrator.cli.errors import explain
from orchestrator.domain.chat import ChatRequest
from orchestrator.domain.jobs.job import JobStatus
from tests.reliability import mangler, planted, trials, world
from tests.reliability.frame import machine, told

# Which code asks, whose manners the host has, and what else the profile says.
KINDS: dict[str, tuple[str, str, str]] = {
    "openai": ("openai", "openai", ""),
    "azure": ("azure", "azure", ""),
    "azure, dated": ("azure", "azure-dated", 'api_version = "2024-10-21"'),
    "compatible": ("compatible", "openai", ""),
    "compatible, token in the suffix": (
        "compatible", "bare", "metadata = false\nsuffix_limit = 40\ncheckpoints = false",
    ),
    "compatible, token in the file's name": (
        "compatible", "bare", "metadata = false\nsuffix_limit = 8\ncheckpoints = false",
    ),
    "peft": ("peft", "worker", ""),
}  # fmt: skip
# What a command may end with: done, no, usage, configuration, try later, local state.
DECENT = {0, 1, 2, 3, 4}
CRON = timedelta(minutes=6)
EXAMPLES_A_HOME = 20


@dataclass
class Found:
    """What one kind of provider came to."""

    commands: int = 0
    spoilt: Counter[str] = field(default_factory=Counter)
    routes: Counter[str] = field(default_factory=Counter)
    sentences: Counter[str] = field(default_factory=Counter)
    bad: list[str] = field(default_factory=list)
    intents: int = 0
    billed: int = 0
    review: int = 0

    @property
    def is_good(self) -> bool:
        """Nothing was bad, and something was tried."""
        return not self.bad and self.billed > 0 and bool(self.spoilt)


def main() -> int:
    options = _options()
    started = time.monotonic()
    kinds = options.kind or list(KINDS)
    each = max(1, options.examples // len(kinds))
    founds = {kind: run(kind, each, options.seed) for kind in kinds}
    control = run("openai", 40, options.seed, planted.blind_retry)
    if options.sentences:
        for found in founds.values():
            for said, count in found.sentences.most_common():
                sys.stderr.write(f"{count:5} {said}\n")
    return told(
        {
            "passed": all(found.is_good for found in founds.values()) and bool(control.bad),
            "spoilt answers": sum(sum(found.spoilt.values()) for found in founds.values()),
            "kinds": {
                kind: {
                    "commands": found.commands,
                    "spoilt": sum(found.spoilt.values()),
                    "routes": len(found.routes),
                    "intents": found.intents,
                    "billed": found.billed,
                    "left to a person": found.review,
                    "bad": found.bad[:10],
                }
                for kind, found in founds.items()
            },
            "negative control (blind retry) failed, as it must": bool(control.bad),
            "seed": options.seed,
            "seconds": round(time.monotonic() - started, 1),
            "machine": machine(),
        }
    )


def run(kind: str, examples: int, seed: int, plant: Callable[[], Any] | None = None) -> Found:
    """So many commands, each with one spoilt answer."""
    chance, found = random.Random(f"{seed}{kind}"), Found()
    while found.commands < examples:
        _one_home(kind, chance, found, min(EXAMPLES_A_HOME, examples - found.commands), plant)
    return found


def _one_home(
    kind: str, chance: random.Random, found: Found, many: int, plant: Callable[[], Any] | None
) -> None:
    code, dialect, options = KINDS[kind]
    with (
        world.a_host(dialect) as host,
        world.an_installation(host, kind=code) as ours,
        mangler.a_mangler(urlsplit(host.url).port or 0, chance) as (spoiler, port),
    ):
        (ours.home / "ftctl.toml").write_text(
            f'[providers.host]\nkind = "{code}"\napi_key_env = "KEY"\ntimeout = 0.5\n'
            f'base_url = "{host.url.replace(str(urlsplit(host.url).port), str(port))}"\n{options}\n'
        )
        with planted.undone(plant):
            for _ in range(many):
                _one(ours, host, spoiler, chance, found)
            _settled(ours, host, spoiler)
        _judge(ours, host, found, kind)
        for _, route, what in spoiler.seen:
            if what:
                found.spoilt[what] += 1
                found.routes[_shape(route)] += 1


def _one(
    ours: world.Installation,
    host: world.Host,
    spoiler: mangler.Mangler,
    chance: random.Random,
    found: Found,
) -> None:
    """One command with one spoilt answer, and what it said."""
    jobs = [row[0] for row in ours.rows("SELECT id FROM jobs")] if ours.database.exists() else []
    command = _command(ours, chance, jobs)
    what = "a field" if chance.random() < 0.5 else chance.choice(mangler.BYTES)
    first = chance.choice((0, 0, 1, 2, 3))
    before = len(spoiler.seen)
    # What is asked again is spoilt again, as often as not.
    spoiler.order(range(first, first + chance.choice((1, 4))), what)
    exit_code, said = _ran(ours, command)
    spoiler.heal()
    found.commands += 1
    for line in said.splitlines():
        if line.startswith("ftctl:"):
            found.sentences[line] += 1
    if exit_code not in DECENT or "Traceback" in said or "bug in ftctl" in said:
        asked = [route for _, route, done in spoiler.seen[before:] if done]
        found.bad.append(f"{' '.join(command[:2])}: {what} at {asked}: exit {exit_code}: {said}")
    if chance.random() < 0.3:
        ours.move_on(host, CRON)


def _command(ours: world.Installation, chance: random.Random, jobs: list[str]) -> list[str]:
    submit = [*world.submission(ours), "--again"]
    if not jobs or chance.random() < 0.35:
        return submit
    job = chance.choice(jobs)
    return chance.choice(
        [
            ["sync", "--all"], ["sync", "--all"], ["sync", "--all"], ["sync"], ["cancel", job],
            ["pause", job], ["resume", job], ["results", job], ["checkpoints", job],
            ["events", job], ["providers", "check", "host"], ["files", "list", "--provider", "host"],
            ["models", "list", "--provider", "host"], ["adopt", "--provider", "host"], [CHAT],
        ]
    )  # fmt: skip


# No command: one question to the model, straight to the provider.
CHAT = "chat"


def _ran(ours: world.Installation, command: list[str]) -> tuple[int, str]:
    said = io.StringIO()
    app = ours.app()
    app.build_provider = world.at_once
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        if command == [CHAT]:
            exit_code = _chatted(app)
        else:
            exit_code = cli.run(command, obj=app)
    app.close()
    return exit_code, said.getvalue()


def _chatted(app: wiring.App) -> int:
    request = ChatRequest(model=world.MODEL, messages=({"role": "user", "content": "Well?"},))
    try:
        app.provider("host").chat(request)
    except Exception as error:  # noqa: BLE001 - as the command line does
        return explain(error)
    return 0


def _settled(ours: world.Installation, host: world.Host, spoiler: mangler.Mangler) -> None:
    spoiler.heal()
    for _ in range(trials.MOST_PASSES):
        _ran(ours, ["sync", "--all"])
        ours.move_on(host, CRON)


def _judge(ours: world.Installation, host: world.Host, found: Found, kind: str) -> None:
    """Each job at the host is one of ours, and each of ours is there, or ftctl asks a person."""
    rows = ours.rows("SELECT id, status, remote_id FROM jobs WHERE origin = 'ftctl'")
    billed = {entry["job"] for entry in host.control("ledger")["jobs"]}
    known = {remote_id for _, _, remote_id in ours.rows("SELECT id, status, remote_id FROM jobs")}
    asked = [job for job, status, _ in rows if status == JobStatus.NEEDS_REVIEW]
    wanted = [job for job, status, _ in rows if status != JobStatus.REJECTED]
    unsettled = [
        (job, status)
        for job, status, _ in rows
        if JobStatus(status).is_in_doubt or JobStatus(status).is_unsent
    ]
    found.intents += len(wanted)
    found.billed += len(billed)
    found.review += len(asked)
    if unsettled:
        found.bad.append(f"{kind}: not settled: {unsettled}")
    if len(billed) > len(wanted) or (len(billed - known) > len(asked)):
        found.bad.append(f"{kind}: billed {sorted(billed)}, known {rows}")
    if not world.is_sound(ours.database):
        found.bad.append(f"{kind}: the database is not sound")


def _shape(route: str) -> str:
    return re.sub(r"(ftjob|file|ft|gpt|step|upload)[-:][^/]+", r"\1-*", route)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=1000, help="Commands of all kinds.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", action="append", choices=KINDS)
    parser.add_argument("--sentences", action="store_true", help="All that was said, to stderr.")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

"""`ftctl doctor`: is this installation sound."""

from __future__ import annotations

import importlib.util
import shutil
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import click

from orchestrator import wiring
from orchestrator.cli.output import json_option, print_json, print_table, say
from orchestrator.domain.errors import ConfigurationError, ExitCode, FtctlError
from orchestrator.domain.money.prices import STALE_DAYS
from orchestrator.wiring import databases

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LITTLE_SPACE = 1024**3
# A deployment that costs and was not called for so long is worth a look.
_IDLE_DAYS = 3
_GOOD, _LOOK, _BAD = "good", "look", "bad"
# Nothing was ever written before ftctl existed.
_BORN = datetime(2026, 1, 1, tzinfo=UTC)


class Finding(NamedTuple):
    """What one check found: good, look (works, worth a look) or bad."""

    check: str
    state: str
    detail: str
    hint: str | None = None


@click.command(epilog="\b\nExample:\n  ftctl doctor\n  ftctl doctor --json")
@json_option
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> int:
    """Look over the whole installation; asks no provider and changes nothing.

    Exit code: 0 sound; 3 or 5 when a setting or the local state is bad.
    """
    app = wiring.app(ctx)
    findings, code = _all(app)
    if as_json:
        print_json({"ok": code == ExitCode.DONE, "findings": [each._asdict() for each in findings]})
        return code
    print_table(
        ("CHECK", "STATE", "DETAIL"), [(each.check, each.state, each.detail) for each in findings]
    )
    for each in findings:
        if each.hint and each.state != _GOOD:
            say(f"{each.check}: {each.hint}")
    return code


def _all(app: wiring.App) -> tuple[list[Finding], ExitCode]:
    findings: list[Finding] = []
    code = ExitCode.DONE
    for name, look in _CHECKS.items():
        try:
            found = list(look(app))
        except FtctlError as error:
            found = [Finding(name, _BAD, error.message, error.hint)]
            code = max(code, error.exit_code)
        if any(each.state == _BAD for each in found):
            code = max(code, ExitCode.CONFIGURATION)
        findings += found
    return findings, code


def _configuration(app: wiring.App) -> Iterator[Finding]:
    file = app.settings.config_file
    yield Finding("configuration", _GOOD, f"home {app.settings.home}")
    yield Finding("configuration", _GOOD, f"settings {file}" if file else "no ftctl.toml")


def _database(app: wiring.App) -> Iterator[Finding]:
    facts = databases.facts(app)
    if facts.remote:
        yield Finding(
            "database", _BAD, f"lies on a network file system ({facts.remote})",
            "set FTCTL_HOME to a folder on a disk of this machine, or use PostgreSQL",
        )  # fmt: skip
        return
    if facts.backend == "sqlite":
        whose = "ftctl's own" if facts.is_own else "the system's"
        slow = facts.journal != "wal"
        yield Finding(
            "database", _LOOK if slow else _GOOD,
            f"SQLite {facts.library} ({whose}), journal {facts.journal}",
            "pip install pysqlite3: a newer SQLite may use the faster journal" if slow else None,
        )  # fmt: skip
    if not facts.exists:
        yield Finding("database", _GOOD, "not made yet; the first command makes it")
        return
    have, want = databases.revisions(app)
    if have not in {None, want}:
        yield Finding("database", _BAD, f"schema {have}, needed {want}", "ftctl db upgrade")
        return
    problems = databases.check(app).problems
    yield Finding(
        "database", _BAD if problems else _GOOD,
        problems[0] if problems else f"schema {want}, sound", "ftctl db restore FILE",
    )  # fmt: skip


def _files(app: wiring.App) -> Iterator[Finding]:
    facts = databases.facts(app)
    for path in facts.exposed[:5]:
        yield Finding("files", _BAD, f"{path} can be read by others", f"chmod 600 {path}")
    if not facts.exposed:
        yield Finding("files", _GOOD, "only their owner can read them")
    little = facts.free < _LITTLE_SPACE
    yield Finding(
        "disk", _LOOK if little else _GOOD, f"{facts.free / 1024**3:.1f} GiB free",
        "free some space" if little else None,
    )  # fmt: skip


def _profiles(app: wiring.App) -> Iterator[Finding]:
    settings = app.settings
    for name in settings.profile_names():
        profile = settings.profile(name)
        if profile.api_key_env is None or profile.api_key:
            detail = "no key needed" if profile.api_key_env is None else "key is set"
            yield Finding(f"profile {name}", _GOOD, detail)
        else:
            env = profile.api_key_env
            yield Finding(f"profile {name}", _LOOK, f"{env} is not set", f"export {env}=...")


def _notified(app: wiring.App) -> Iterator[Finding]:
    settings = app.settings
    for each in settings.subscribers():
        missing = each.secret is not None and settings.notify_secret(each) is None
        yield Finding(
            f"notify {each.name}", _LOOK if missing else _GOOD,
            f"{each.secret} is not set" if missing else each.target,
            f"export {each.secret}=whsec_..." if missing else None,
        )  # fmt: skip


def _worker(_app: wiring.App) -> Iterator[Finding]:
    there = importlib.util.find_spec("ftctl_worker") is not None
    yield Finding(
        "worker", _GOOD if there else _LOOK,
        "installed" if there else "not installed; the provider 'local' needs it",
        None if there else "pip install ./worker",
    )  # fmt: skip


def _deployments(app: wiring.App) -> Iterator[Finding]:
    facts = databases.facts(app)
    if not facts.exists or len(set(databases.revisions(app))) > 1:
        return
    from orchestrator.cli import tell_deployments as telling

    days = app.settings.table("deployments").get("idle_days", _IDLE_DAYS)
    if isinstance(days, bool) or not isinstance(days, int | float):
        raise ConfigurationError("idle_days in [deployments] must be a number of days.")
    costly = [each for each in app.deployments.all() if each.may_cost]
    for each in telling.told(costly, app.deployments, app.clock.now()):
        found, waste = each.deployment, telling.is_waste(each, days)
        yield Finding(
            "deployments", _LOOK if waste else _GOOD,
            f"{found.name} is {found.state}: {telling.money(each.cost)} so far,"
            f" {telling.last_call(each)}",
            f"ftctl undeploy {found.id}" if waste else None,
        )  # fmt: skip
    if not costly:
        yield Finding("deployments", _GOOD, "none is billed by the hour")


def _clock(app: wiring.App) -> Iterator[Finding]:
    now = app.clock.now()
    bad = now < _BORN
    yield Finding(
        "clock", _BAD if bad else _GOOD, f"{now:%Y-%m-%d %H:%M} UTC",
        "set the clock: ages, waits and prices are counted by it" if bad else None,
    )  # fmt: skip


def _dated(app: wiring.App) -> Iterator[Finding]:
    book, lifecycle = app.prices, app.listed_lifecycle
    oldest = min(book.compiled, lifecycle.compiled)
    old = (app.clock.now().date() - oldest).days > STALE_DAYS
    own = sum(price.own for price in book.prices)
    yield Finding(
        "prices and dates", _LOOK if old else _GOOD,
        f"files of {oldest}; {own} prices of your own",
        "a newer ftctl has newer ones; ftctl prices check" if old else None,
    )  # fmt: skip


def _polling(_app: wiring.App) -> Iterator[Finding]:
    there = shutil.which("crontab") or shutil.which("systemctl")
    yield Finding(
        "polling", _GOOD if there else _LOOK,
        "cron or systemd can run `ftctl sync`" if there else "neither cron nor systemd is here",
        None if there else "run `ftctl sync` from whatever runs things here",
    )  # fmt: skip


_CHECKS: dict[str, Callable[[wiring.App], Iterator[Finding]]] = {
    "configuration": _configuration,
    "database": _database,
    "files": _files,
    "profiles": _profiles,
    "deployments": _deployments,
    "notify": _notified,
    "worker": _worker,
    "clock": _clock,
    "prices and dates": _dated,
    "polling": _polling,
}

"""`ftctl providers`: which profiles there are, and whether they can be used."""

from __future__ import annotations

import click

from orchestrator import wiring
from orchestrator.cli.output import json_option, print_json, print_table
from orchestrator.domain.errors import ExitCode, FtctlError


@click.group(epilog="\b\nExample:\n  ftctl providers list\n  ftctl providers check openai")
def providers() -> None:
    """List and check provider profiles."""


@providers.command("list", epilog="\b\nExample:\n  ftctl providers list --json")
@json_option
@click.pass_context
def list_profiles(ctx: click.Context, as_json: bool) -> None:
    """List every profile, built-in and your own, and whether its key is set."""
    settings = wiring.app(ctx).settings
    profiles = [settings.profile(name) for name in settings.profile_names()]
    if as_json:
        print_json(
            [
                {
                    "name": each.name,
                    "kind": each.kind,
                    "base_url": each.base_url,
                    "embedded": each.embedded,
                    "api_key_env": each.api_key_env,
                    "auth": each.options.get("auth", "key"),
                    "key": each.api_key is not None,
                }
                for each in profiles
            ]
        )
        return
    print_table(
        ("PROFILE", "KIND", "WHERE", "KEY"),
        [
            (
                each.name,
                each.kind,
                "on this machine" if each.embedded else each.base_url or "the kind's default",
                "Entra ID"
                if each.options.get("auth") == "entra"
                else _key(each.api_key_env, set_=each.api_key is not None),
            )
            for each in profiles
        ],
    )


@providers.command("check", epilog="\b\nExample:\n  ftctl providers check local")
@click.argument("names", nargs=-1)
@json_option
@click.pass_context
def check(ctx: click.Context, names: tuple[str, ...], as_json: bool) -> int:
    """Ask each profile (all of them by default) whether it can be used. Costs nothing."""
    app = wiring.app(ctx)
    results = [_checked(app, name) for name in names or app.settings.profile_names()]
    if as_json:
        print_json([result for result, _ in results])
    else:
        print_table(
            ("PROFILE", "USABLE", "DETAIL"),
            [
                (str(result["name"]), "yes" if result["ok"] else "no", str(result["detail"]))
                for result, _ in results
            ],
        )
    return max((code for _, code in results), default=ExitCode.DONE)


def _checked(app: wiring.App, name: str) -> tuple[dict[str, object], int]:
    try:
        outcome = app.provider(name).check()
    except FtctlError as error:
        hint = f" Try: {error.hint}" if error.hint else ""
        return {"name": name, "ok": False, "detail": error.message + hint}, error.exit_code
    return {"name": name, "ok": outcome.reachable, "detail": outcome.detail}, (
        ExitCode.DONE if outcome.reachable else ExitCode.TRY_LATER
    )


def _key(env: str | None, *, set_: bool) -> str:
    if env is None:
        return "not needed"
    return f"{env} is set" if set_ else f"{env} is not set"

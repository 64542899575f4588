"""The program as a whole: help, unknown words, exit codes, hostile text."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import click
import pytest

from orchestrator.cli import cli
from orchestrator.cli.output import printable
from orchestrator.domain.errors import FtctlError
from providers.simulator import Simulator
from tests.conftest import Ftctl
from tests.factories import chat_file


def commands(command: click.Command, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = [path] if path else []
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            sub = command.get_command(context, name)
            assert sub is not None
            found += commands(sub, (*path, name))
    return found


@pytest.mark.parametrize("path", commands(cli), ids=" ".join)
def test_every_command_has_help_with_an_example(ftctl: Ftctl, path):
    outcome = ftctl(*path, "--help")
    assert outcome.code == 0
    assert "Example:" in outcome.out
    assert "ftctl" in outcome.out.split("Example:")[1]


def test_an_unknown_command_names_the_nearest(ftctl: Ftctl):
    outcome = ftctl("statsu")
    assert outcome.code == 2
    assert "Did you mean 'status'?" in outcome.err


def test_an_unknown_option_is_a_usage_error(ftctl: Ftctl):
    assert ftctl("status", "--nonsense").code == 2


def test_no_jobs_is_an_empty_list(ftctl: Ftctl):
    assert ftctl("status", "--json").json == []
    assert "no jobs yet" in ftctl("status").err


def test_an_unknown_job_is_a_usage_error(ftctl: Ftctl):
    outcome = ftctl("status", "zzz")
    assert outcome.code == 2
    assert "There is no job 'zzz'" in outcome.err


def test_sync_is_silent_when_nothing_changed(ftctl: Ftctl):
    outcome = ftctl("sync")
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")


def test_on_a_terminal_a_pass_says_what_it_did(ftctl: Ftctl):
    chat_file(ftctl.home / "train.jsonl")
    with Simulator("openai", moves=False) as host:
        (ftctl.home / "ftctl.toml").write_text(
            f'[providers.host]\nkind = "openai"\nbase_url = "{host.url}"\napi_key_env = "KEY"\n'
        )
        ftctl.environment["KEY"] = "sk-test"
        train = ftctl.home / "train.jsonl"
        assert ftctl("submit", train, "--provider", "host", "--model", "tiny").code == 0
        host.advance(9)
        ours, theirs = pty.openpty()
        environment = {**os.environ, "FTCTL_HOME": str(ftctl.home), "KEY": "sk-test"}
        done = subprocess.run(
            [sys.executable, "-m", "orchestrator", "sync", "--all", "--json"],
            env=environment | {"PYTHONPATH": str(Path(__file__).parents[2])},
            cwd=ftctl.home,
            stdout=subprocess.PIPE,
            stderr=theirs,
            check=True,
        )
    os.close(theirs)
    seen = os.read(ours, 65536).decode()
    os.close(ours)
    assert json.loads(done.stdout)["checked"] == 1
    last = seen.rstrip().split("\r")[-1]
    assert last.startswith("1 account: 1 of 1 due jobs checked, 1 changed, ")
    assert seen.count("\n") == 1


def test_a_second_pass_steps_aside(ftctl: Ftctl):
    with ftctl.app().claim("sync") as ours:
        assert ours
        assert ftctl("sync", "--json").json["skipped"] is True


def test_the_crontab_line_runs_sync_in_this_home(ftctl: Ftctl):
    line = ftctl("cron", "--every", "3").out
    assert line.startswith("*/3 * * * * FTCTL_HOME=")
    assert line.rstrip().endswith("sync")


def test_a_full_disk_is_one_sentence(ftctl: Ftctl, monkeypatch: pytest.MonkeyPatch):
    from orchestrator import wiring

    def full(self: wiring.App) -> None:
        raise OSError(28, "No space left on device", "ftctl.db")

    monkeypatch.setattr(wiring.App, "jobs", property(full))
    outcome = ftctl("status")
    assert outcome.code == 5
    assert "disk is full" in outcome.err


def test_a_closed_pipe_is_not_an_error(tmp_path):
    code = "import sys; from orchestrator.cli import main; main(['--help'])"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    with process, process.stderr as stderr:
        assert b"Traceback" not in stderr.read()


@pytest.mark.parametrize(
    "hostile", ["\x1b[2J", "\x1b]0;x\x07", "a\rb", "\u202e", "\x9b31m", "\x00"]
)
def test_control_characters_are_shown_not_obeyed(hostile):
    shown = printable(f"x{hostile}y")
    assert all(character.isprintable() for character in shown)


def errors(root: type[FtctlError] = FtctlError) -> list[type[FtctlError]]:
    # Those of other modules take more than a message; which of them are imported varies.
    own = [sub for sub in root.__subclasses__() if sub.__module__ == FtctlError.__module__]
    return [root, *(leaf for sub in own for leaf in errors(sub))]


@pytest.mark.parametrize("error", errors())
def test_every_error_explains_itself(error):
    assert error().message.endswith(".")
    assert error.__name__ in (sys.modules[FtctlError.__module__].__doc__ or "")

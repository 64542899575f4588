"""The engine over a counting server: nothing is paid twice, and a limit holds."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.domain.jobs.job import Job
from providers.simulator import Simulator
from tests.conftest import Ftctl
from tests.usecases.comparing import row, tuned_job, write

ROOT = Path(__file__).parents[2]
BASE, TUNED = "gpt-4.1-mini-2025-04-14", "gpt-4.1-2025-04-14"
ROWS = 150


@pytest.fixture
def server() -> Iterator[Simulator]:
    with Simulator() as simulator:
        yield simulator


@pytest.fixture
def job(ftctl: Ftctl, server: Simulator) -> Job:
    (ftctl.home / "ftctl.toml").write_text(
        f'[providers.rig]\nkind = "openai"\nbase_url = "{server.url}"\napi_key_env = "RIG_KEY"\n'
        "allow_http = true\n",
        encoding="utf-8",
    )
    ftctl.environment["RIG_KEY"] = "sk-rig"
    return tuned_job(ftctl, provider="rig", kind="openai", model=BASE, tuned_model=TUNED)


@pytest.fixture
def held_out(ftctl: Ftctl) -> Path:
    return write(ftctl.home / "test.jsonl", [row(n) for n in range(ROWS)])


def asked(server: Simulator) -> Counter[str]:
    # A call whose client died while sending it has no whole body.
    whole = [e for e in server.exchanges if e.route == "chat" and e.call.body.endswith(b"}")]
    bodies = [e.call.json() for e in whole]
    return Counter(f"{b['model']} {b['messages'][-1]['content']}" for b in bodies)


def command(job: Job, *more: str) -> list[str]:
    arms = ["--arm", "base", "--arm", "tuned", "--concurrency", "4"]
    return ["compare", job.id, "--test", "test.jsonl", *arms, *more]


def test_every_call_is_counted_once(ftctl: Ftctl, server: Simulator, job: Job, held_out: Path):
    done = ftctl(*command(job, "--json"))
    assert server.count("chat") == 2 * ROWS == done.json["asked"]
    again = ftctl(*command(job, "--json"))
    assert server.count("chat") == 2 * ROWS
    assert (again.json["asked"], again.json["spent"]) == (0, 0)
    assert again.json["arms"] == done.json["arms"]


def test_a_killed_run_goes_on_and_repeats_no_answered_call(
    ftctl: Ftctl, server: Simulator, job: Job, held_out: Path
):
    code = f"from orchestrator.cli import main; main({command(job)!r})"
    environment = {"PATH": os.defpath, "HOME": str(ftctl.home), "FTCTL_HOME": str(ftctl.home),
                   "RIG_KEY": "sk-rig", "PYTHONPATH": str(ROOT)}  # fmt: skip
    child = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ftctl.home, env=environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    ends = time.monotonic() + 60
    while server.count("chat") < ROWS // 2 and child.poll() is None and time.monotonic() < ends:
        threading.Event().wait(0.005)
    child.send_signal(signal.SIGKILL)
    child.wait()
    before = server.count("chat")
    assert ROWS // 2 <= before < 2 * ROWS
    done = ftctl(*command(job, "--json"))
    assert done.json["arms"][0]["n"] == ROWS
    twice = [key for key, count in asked(server).items() if count > 1]
    # What was on the wire at the very moment of the kill was never answered to anybody.
    assert len(twice) <= 4
    assert sum(asked(server).values()) == 2 * ROWS + len(twice)


def test_an_interrupted_run_repeats_no_call_at_all(
    ftctl: Ftctl, server: Simulator, job: Job, held_out: Path
):
    from orchestrator.store.comparisons import ComparisonStore

    class Interrupted(ComparisonStore):
        kept = 0

        def keep(self, run, answers, at):
            super().keep(run, answers, at)
            Interrupted.kept += 1
            if Interrupted.kept == 40:
                raise KeyboardInterrupt

    app = ftctl.app()
    app.__dict__["comparisons"] = Interrupted(app.engine)
    from orchestrator import cli

    assert cli.run(command(job), obj=app) == 130
    assert ftctl(*command(job)).code in {0, 1, 10}
    assert set(asked(server).values()) == {1}
    assert server.count("chat") == 2 * ROWS


def test_an_estimate_above_the_limit_asks_nothing(
    ftctl: Ftctl, server: Simulator, job: Job, held_out: Path
):
    done = ftctl(*command(job, "--max-cost", "0.0001"))
    assert (done.code, server.count("chat")) == (2, 0)
    assert "nothing was asked" in done.err


def test_a_limit_holds_and_says_what_was_spent(
    ftctl: Ftctl, server: Simulator, job: Job, held_out: Path
):
    whole = ftctl(*command(job, "--json")).json["spent"]
    asked_before = server.count("chat")
    # Enough for the estimate, and not for the longest answer that each further call may give.
    done = ftctl(*command(job, "--max-tokens", "400", "--json"), "--max-cost", "0.0045")
    assert done.code == 1
    assert "are spent on" in done.err
    paid = float(done.err.split("$")[1].split(" ")[0])
    assert 0 < paid < whole <= 0.0045
    calls = server.count("chat") - asked_before
    assert 0 < calls < 2 * ROWS
    more = ftctl(*command(job, "--max-tokens", "400", "--json"), "--max-cost", "5")
    assert server.count("chat") - asked_before == 2 * ROWS
    assert more.json["asked"] == 2 * ROWS - calls


def test_a_limit_needs_prices(ftctl: Ftctl, server: Simulator, job: Job, held_out: Path):
    done = ftctl(*command(job, "--max-cost", "1", "--arm", "base:tiny"))
    assert (done.code, server.count("chat")) == (2, 0)
    assert "has no price" in done.err


def test_repeats_are_averaged_by_row(ftctl: Ftctl, server: Simulator, job: Job, held_out: Path):
    done = ftctl(*command(job, "--repeats", "3", "--temperature", "0.7", "--limit", "30", "--json"))
    assert server.count("chat") == 2 * 3 * 30
    assert {a["n"] for a in done.json["arms"]} == {30}
    assert {a["answers"] for a in done.json["arms"]} == {90}
    body = next(e.call.json() for e in server.exchanges if e.route == "chat")
    assert body["temperature"] == 0.7


def test_a_spec_file_holds_the_options(ftctl: Ftctl, server: Simulator, job: Job, held_out: Path):
    (ftctl.home / "compare.toml").write_text(
        'test = "test.jsonl"\narm = ["base", "tuned"]\nlimit = 20\nmargin = 3\n', encoding="utf-8"
    )
    done = ftctl("compare", job.id, "--spec", "compare.toml", "--json", "--limit", "25")
    assert [a["name"] for a in done.json["arms"]] == ["base", "tuned"]
    assert (done.json["plan"]["margin"], done.json["plan"]["rows"]) == (0.03, 25)
    assert json.dumps(done.json)
    (ftctl.home / "compare.toml").write_text("magic = 1\n", encoding="utf-8")
    assert ftctl("compare", job.id, "--spec", "compare.toml").code == 2

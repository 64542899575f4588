"""Any order of submits, syncs, crashes, faults and waiting: one job each at the host.

The host lives in this process, behind a transport handed in; no socket is opened. A crash is an
exception that nothing catches. FTCTL_EXAMPLES runs more than the short form.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from orchestrator import config, wiring
from orchestrator.domain import failpoints
from orchestrator.domain.clock import ManualClock
from orchestrator.domain.errors import FtctlError
from orchestrator.domain.jobs.job import JobStatus
from orchestrator.domain.profile import Profile
from orchestrator.store import database
from orchestrator.usecases.jobs import submit, sync
from orchestrator.usecases.jobs.intent import Intent, PreparedFile
from providers.openai import build
from providers.retry import Retry
from providers.simulator import SimulatedHost
from providers.simulator.provider import transport
from providers.wire import WireProvider
from tests.factories import a_dataset, chat_file
from tests.reliability import planted

EXAMPLES = int(os.environ.get("FTCTL_EXAMPLES", "8"))
FAULTS = (
    "drop_before", "drop_after_accept", "error_500", "error_500_after_accept", "rate_limited",
    "half_body", "html_200", "no_id", "unknown_status", "late", "refuse",
)  # fmt: skip
# Where a crash hurts most; drawn as often as all the others together.
DANGEROUS = ("submit.submitting", "submit.answered", "submit.unclear") * 5
MOST_JOBS = 4


class PowerCutError(BaseException):
    """The process is gone."""


def _cut() -> None:
    raise PowerCutError


class Ledgers(RuleBasedStateMachine):
    """Our ledger against the host's."""

    template: Path
    steps = 0

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.host = SimulatedHost("openai", clock=self.clock)
        self.folder = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
        shutil.copyfile(self.template, self.folder / "ftctl.db")
        self.content = chat_file(self.folder / "train.jsonl")
        config_text = '[providers.host]\nkind = "openai"\napi_key_env = "KEY"\n'
        (self.folder / "ftctl.toml").write_text(config_text)
        environment = {"FTCTL_HOME": str(self.folder), "KEY": "sk-stateful", "HOME": "/nowhere"}
        self.app = wiring.App(
            config.load(environment, cwd=self.folder),
            clock=self.clock,
            build_provider=self.provider,
        )
        self.jobs = 0

    def provider(self, profile: Profile) -> WireProvider:
        return build(
            profile,
            transport=lambda: transport(self.host),
            retry=Retry(attempts=1, sleep=lambda _: None),
        )

    @precondition(lambda self: self.jobs < MOST_JOBS)
    @rule(
        fault=st.none() | st.sampled_from((*FAULTS, "late", "late")),
        point=st.none() | st.sampled_from((*DANGEROUS, *failpoints.SUBMIT)),
    )
    def submits(self, fault: str | None, point: str | None) -> None:
        self.jobs += 1
        if fault:
            options = {"seconds": 300} if fault == "late" else {}
            self.host.order_fault("create_job", fault, **options)
        self.until_it_dies(point, self.submit)

    @precondition(lambda self: self.jobs < MOST_JOBS)
    @rule()
    def a_job_is_listed_late(self) -> None:
        self.submits("late", None)
        self.cron_goes_on()

    @rule(point=st.none() | st.sampled_from(failpoints.SYNC))
    def syncs(self, point: str | None) -> None:
        self.until_it_dies(point, self.sync)

    @rule()
    def cron_goes_on(self) -> None:
        for _ in range(3):
            self.clock.sleep(61)
            self.until_it_dies(None, self.sync)

    @rule(minutes=st.sampled_from([1, 4, 11]))
    def waits(self, minutes: int) -> None:
        self.clock.sleep(60 * minutes)

    @rule(route=st.sampled_from(["get_job", "list_jobs", "events", "upload_file", "list_files"]),
          fault=st.sampled_from(["drop_before", "error_500", "html_200", "rate_limited"]))  # fmt: skip
    def the_host_stumbles(self, route: str, fault: str) -> None:
        self.host.order_fault(route, fault)

    @invariant()
    def a_step_is_counted(self) -> None:
        type(self).steps += 1

    @invariant()
    def nothing_is_billed_twice(self) -> None:
        tokens = [entry["metadata"]["ftctl_token"] for entry in self.host.ledger]
        assert len(tokens) == len(set(tokens)), "one intent, two jobs"

    def teardown(self) -> None:
        try:
            self.everything_is_known_at_last()
        finally:
            self.app.close()
            shutil.rmtree(self.folder)

    def everything_is_known_at_last(self) -> None:
        for _ in range(40):
            self.clock.sleep(31 * 60)
            self.sync()
            if all(job.status.is_final for job in self.app.jobs.all()):
                break
        self.nothing_is_billed_twice()
        ours = {job.remote_id for job in self.app.jobs.all() if job.remote_id}
        assert ours == {entry["job"] for entry in self.host.ledger}, "a job is lost"
        for job in self.app.jobs.all():
            assert job.status.is_final, f"{job.id} is still {job.status}"
            assert (job.status is JobStatus.REJECTED) == (job.remote_id is None)

    def submit(self) -> None:
        ledger, provider = self.app.ledger(), self.app.provider("host")
        content = self.content.read_bytes()
        dataset = a_dataset(digest=hashlib.sha256(content).hexdigest(), bytes=len(content), rows=12)
        job = submit.record(
            Intent(
                provider="host",
                kind="openai",
                account=provider.account,
                model="gpt-4.1-mini-2025-04-14",
                training=PreparedFile(dataset=dataset, content=self.content),
            ),
            ledger,
            again=True,
        )
        with self.app.claim(job.id):
            submit.submit(job, provider, ledger)

    def sync(self) -> None:
        sync.sync(self.app.ledger())

    def until_it_dies(self, point: str | None, command: Callable[[], None]) -> None:
        if point:
            failpoints.arm(failpoints.at(point, _cut))
        try:
            command()
        except (PowerCutError, FtctlError):
            pass
        finally:
            failpoints.arm(None)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stateful") / "template.db"
    database.open_database(f"sqlite:///{path}").dispose()
    return path


def explore(template: Path, examples: int, seed: int | None = None) -> int:
    """So many runs; how many steps they took together."""
    machine: Any = type("Explored", (Ledgers,), {"template": template, "steps": 0})
    if seed is not None:
        hypothesis.seed(seed)(machine)
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=12,
            deadline=None,
            derandomize=seed is None and EXAMPLES == 8,
            database=None,
            # A smaller example of a planted bug is nothing anyone waits for.
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
    return int(machine.steps)


def test_no_order_of_things_loses_or_doubles_a_job(template: Path):
    explore(template, EXAMPLES)


BUGS = {
    "POST before save": planted.post_before_save,
    "blind retry": planted.blind_retry,
    "no settle time": planted.no_settle_time,
    "any job is ours": planted.any_job_is_ours,
    "doubt is failure": planted.doubt_is_failure,
}


# The other two take longer to find: `python -m tests.reliability.exploring` hunts all five.
@pytest.mark.parametrize("bug", list(BUGS)[:3])
def test_a_planted_bug_is_found(template: Path, bug: str):
    with planted.undone(BUGS[bug]), pytest.raises(AssertionError):
        explore(template, 150)

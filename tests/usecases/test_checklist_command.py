"""`ftctl checklist`: asked, answered with name and date, and read by the report."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import tomllib
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.deciding.checklist import Answers, Given, Status
from orchestrator.domain.jobs.job import Job
from orchestrator.usecases.deciding.answers import read_answers, written
from orchestrator.usecases.jobs.dated import default_checklist
from tests.conftest import Ftctl
from tests.usecases.comparing import tuned_job


@pytest.fixture
def job(ftctl: Ftctl) -> Job:
    return tuned_job(ftctl)


def test_an_answer_is_written_with_name_and_date(ftctl: Ftctl, job: Job):
    assert ftctl("checklist", "init", "a.toml").code == 0
    done = ftctl(
        "checklist", "answer", "a.toml", "uc.goal", "pass", "--note", "format", "--by", "Ada"
    )
    assert done.code == 0
    plain = tomllib.loads(Path("a.toml").read_text(encoding="utf-8"))
    assert plain["answers"]["uc.goal"] == {
        "status": "pass", "note": "format", "by": "Ada", "date": date(2026, 11, 20),
    }  # fmt: skip
    ftctl("checklist", "answer", "a.toml", "requests_per_month", "300,000")
    ftctl("checklist", "answer", "a.toml", "uc.risk", "pass", "--by", "Bob")
    found = ftctl("report", job.id, "--answers", "a.toml", "--json").json
    sources = {c["id"]: c["source"] for c in found["criteria"]}
    assert (sources["uc.goal"], sources["uc.risk"]) == ("Ada 2026-11-20", "Bob 2026-11-20")
    assert found["numbers"]["requests_per_month"] == 300_000


@pytest.mark.parametrize(
    "words",
    [
        ("uc.goal", "pass"),
        ("uc.goal", "maybe", "--by", "Ada"),
        ("magic", "pass", "--by", "Ada"),
        ("requests_per_month", "many"),
        ("requests_per_month", "-1"),
        ("uc.goal",),
        (),
    ],
)
def test_what_makes_no_sense_writes_nothing(ftctl: Ftctl, words):
    ftctl("checklist", "init", "a.toml")
    before = Path("a.toml").read_text(encoding="utf-8")
    assert ftctl("checklist", "answer", "a.toml", *words).code == 2
    assert Path("a.toml").read_text(encoding="utf-8") == before


def test_answers_are_not_overwritten(ftctl: Ftctl):
    ftctl("checklist", "init", "a.toml")
    assert ftctl("checklist", "init", "a.toml").code == 2


def test_thresholds_can_be_set_otherwise_and_are_said(ftctl: Ftctl, job: Job):
    ftctl("checklist", "init", "a.toml", "--by", "Ada")
    ftctl("checklist", "answer", "a.toml", "payback_months", "6")
    found = ftctl("report", job.id, "--answers", "a.toml", "--json").json
    assert (found["policy"]["payback_months"], found["policy_changed"]) == (6, ["payback_months"])


@pytest.mark.parametrize("stage", ["plan", "after_run", "migrate"])
def test_every_stage_is_shown_and_reported(ftctl: Ftctl, job: Job, stage: str):
    shown = ftctl("checklist", "show", "--stage", stage, "--json").json
    ids = [c["id"] for c in shown["criteria"]]
    assert ("mig.parity" in ids) == (stage == "migrate")
    report = ftctl("report", job.id, "--stage", stage, "--json").json
    assert [c["id"] for c in report["criteria"]] == ids
    assert "uc.goal" in ftctl("checklist", "show", "--stage", stage).out


words = st.text(max_size=30)


@given(words, words, st.sampled_from([s for s in Status if s is not Status.UNKNOWN]))
def test_what_is_written_reads_back(note: str, name: str, status: Status):
    import tempfile

    checklist = default_checklist()
    clean = note.encode("utf-8", "replace").decode(), name.encode("utf-8", "replace").decode()
    answers = Answers(
        name="Ada",
        date=date(2026, 11, 20),
        given={"uc.goal": Given(status, clean[0], clean[1] or "x", date(2026, 1, 2))},
        numbers={"error_cost": 0.12},
        policy={"margin": 0.02},
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.toml")
        path.write_text(written(answers, checklist), encoding="utf-8")
        found = read_answers(path, checklist)
    assert found.given["uc.goal"] == answers.given["uc.goal"]
    assert (found.numbers, found.policy) == (answers.numbers, answers.policy)


class Terminal:
    """The command on a terminal of its own, and a person who types."""

    def __init__(self, home: Path, *words: str) -> None:
        ours, theirs = pty.openpty()
        environment = {"PATH": os.environ["PATH"], "FTCTL_HOME": str(home), "TERM": "dumb"}
        self.command = subprocess.Popen(
            [sys.executable, "-m", "orchestrator", *words],
            stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True,
            cwd=Path(__file__).parents[2],
        )  # fmt: skip
        os.close(theirs)
        self.ours, self.seen = ours, ""

    def answer(self, question: str, said: str) -> None:
        self._read_until(question)
        os.write(self.ours, f"{said}\n".encode())

    def end(self) -> int:
        self._read_until(None)
        os.close(self.ours)
        return self.command.wait(60)

    def _read_until(self, question: str | None) -> None:
        waiting = ""
        while question is None or question not in waiting:
            assert select.select([self.ours], [], [], 60)[0], f"nothing came:\n{self.seen}"
            try:
                read = os.read(self.ours, 4096).decode()
            except OSError:  # Linux says so when the other side has gone.
                read = ""
            if not read:
                assert question is None, f"'{question}' was never asked:\n{self.seen}"
                return
            waiting += read
            self.seen += read


def test_a_person_answers_at_the_terminal(tmp_path: Path):
    file = tmp_path / "answers.toml"
    terminal = Terminal(tmp_path, "checklist", "answer", str(file), "--stage", "migrate")
    terminal.answer("Your name", "Ada Example")
    terminal.answer("uc.goal", "perhaps")
    terminal.answer("uc.goal", "pass")
    terminal.answer("because", "the same format")
    terminal.answer("uc.risk", "")  # stays unknown
    terminal.answer("[requests_per_month]", "many")
    terminal.answer("[requests_per_month]", "300,000")
    # Written before the next question: who leaves now has lost nothing.
    terminal._read_until("[requests_low]")
    found = read_answers(file, default_checklist("migrate"))
    os.write(terminal.ours, b"\x04")
    assert terminal.end() != 0
    assert "no number" in terminal.seen
    assert "Traceback" not in terminal.seen
    assert found.numbers == {"requests_per_month": 300_000}
    assert {name: (given.status, given.note, given.by) for name, given in found.given.items()
            if given.status is not Status.UNKNOWN} == {
        "uc.goal": (Status.PASS, "the same format", "Ada Example")
    }  # fmt: skip

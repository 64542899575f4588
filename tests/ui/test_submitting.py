"""Submitting through the page: the same checks, the same question, one job whatever is clicked."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from orchestrator.domain.jobs.job import Job, JobStatus
from providers.simulator import Fault, Simulator
from tests.conftest import Ftctl
from tests.factories import chat_file
from tests.ui.visiting import Answer, Visitor, visible, visiting

MODEL = "gpt-4.1-mini-2025-04-14"


@pytest.fixture
def host(ftctl: Ftctl) -> Iterator[Simulator]:
    with Simulator("openai", moves=False, clock=ftctl.clock) as simulator:
        (ftctl.home / "ftctl.toml").write_text(
            f'[providers.host]\nkind = "openai"\nbase_url = "{simulator.url}"\n'
            'api_key_env = "KEY"\ntimeout = 2\n'
        )
        ftctl.environment["KEY"] = "sk-test"
        chat_file(ftctl.home / "train.jsonl", 20)
        yield simulator


@pytest.fixture
def visitor(ftctl: Ftctl, host: Simulator) -> Iterator[Visitor]:
    with visiting(ftctl) as found:
        yield found


def planned(visitor: Visitor, **changes: str) -> Answer:
    form = visitor.get("/submit").form("/submit/plan")
    given = {"training": "train.jsonl", "provider": "host", "model": MODEL, **changes}
    return visitor.send(form, **given)


def eventually(ftctl: Ftctl, status: JobStatus) -> Job:
    """The one job, once it stands there."""
    return until(lambda: next((j for j in jobs(ftctl) if j.status is status), None))


def until(found: Callable[[], Job | None]) -> Job:
    end = time.monotonic() + 20
    while (job := found()) is None:
        assert time.monotonic() < end
        threading.Event().wait(0.05)
    return job


def jobs(ftctl: Ftctl) -> list[Job]:
    app = ftctl.app()
    try:
        return list(app.jobs.all())
    finally:
        app.close()


def test_the_plan_is_what_the_command_line_says(ftctl: Ftctl, visitor: Visitor):
    shown = visible(planned(visitor).text)
    typed = ftctl("submit", "train.jsonl", "--provider", "host", "--model", MODEL, "--dry-run").err
    for line in typed.splitlines():
        said = line.strip().removeprefix("note: ")
        if said and "dry run" not in said and "20 rows of" not in said:
            assert said in shown.replace("&#x27;", "'")
    assert "Nothing was sent or written yet." in shown
    assert jobs(ftctl) == []


def test_a_yes_makes_a_job_and_leads_to_it(ftctl: Ftctl, host: Simulator, visitor: Visitor):
    answer = visitor.send(
        planned(visitor, suffix="mine", epochs="2", seed="7").form("/submit/confirm")
    )
    assert answer.status == 303
    job = eventually(ftctl, JobStatus.QUEUED)
    assert answer.headers["location"] == f"/jobs/{job.id}"
    assert (job.suffix, job.seed, job.hyperparameters.n_epochs) == ("mine", 7, 2)
    assert host.count("create_job") == 1


def test_clicked_five_times_at_once_and_reloaded_it_is_one_job(
    ftctl: Ftctl, host: Simulator, visitor: Visitor
):
    # With the box ticked the guard against twins is off: only the form itself can tell.
    form = planned(visitor).form("/submit/confirm")
    with ThreadPoolExecutor(5) as clicks:
        answers = list(clicks.map(lambda _: visitor.send(form, again="yes"), range(5)))
    answers.append(visitor.send(form, again="yes"))
    assert {each.status for each in answers} == {303}
    assert len({each.headers["location"] for each in answers}) == 1
    eventually(ftctl, JobStatus.QUEUED)
    assert len(jobs(ftctl)) == host.count("create_job") == 1


def test_a_form_of_an_earlier_process_makes_no_job(ftctl: Ftctl, visitor: Visitor):
    form = planned(visitor).form("/submit/confirm")
    answer = visitor.send(form, once="of-another-process")
    assert answer.status == 422
    assert "too old" in answer.text
    assert jobs(ftctl) == []


def test_data_that_changed_after_the_plan_is_planned_again(ftctl: Ftctl, visitor: Visitor):
    form = planned(visitor).form("/submit/confirm")
    chat_file(ftctl.home / "train.jsonl", 30)
    answer = visitor.send(form)
    assert "has changed since you saw the plan" in answer.text
    assert "30 rows" in answer.text
    assert jobs(ftctl) == []
    assert visitor.send(answer.form("/submit/confirm")).status == 303


def test_another_answer_than_the_one_that_was_shown_is_not_taken(ftctl: Ftctl, visitor: Visitor):
    form = planned(visitor, epochs="1").form("/submit/confirm")
    for changed in ({"epochs": "9"}, {"suffix": "other"}, {"max_cost": "100"}):
        answer = visitor.send(form, **changed)
        assert "has changed since you saw the plan" in answer.text
    assert jobs(ftctl) == []


def test_the_same_training_within_a_day_wants_a_second_yes(ftctl: Ftctl, visitor: Visitor):
    visitor.send(planned(visitor).form("/submit/confirm"))
    eventually(ftctl, JobStatus.QUEUED)
    form = planned(visitor).form("/submit/confirm")
    refused = visitor.send(form)
    assert refused.status == 422
    assert jobs(ftctl)[0].id in refused.text
    assert visitor.send(form, again="yes").status == 303
    assert len(jobs(ftctl)) == 2


def test_bad_data_is_shown_with_a_way_to_every_finding(ftctl: Ftctl, visitor: Visitor):
    (ftctl.home / "bad.jsonl").write_text('{"messages": []}\n' * 12)
    answer = planned(visitor, training="bad.jsonl")
    assert answer.status == 422
    assert "bad.jsonl" in answer.text
    link = next(part for part in answer.text.split('"') if part.startswith("/data?file=bad.jsonl"))
    assert "would be refused" in visitor.get(link.replace("&amp;", "&")).text
    # What was filled in is still there.
    assert answer.form("/submit/plan").fields["model"] == MODEL


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"training": ""}, "Which training?"),
        ({"training": "../../etc/passwd"}, "There is no dataset"),
        ({"provider": "nobody"}, "There is no provider profile"),
        ({"method": "magic"}, "There is no method"),
        ({"epochs": "many"}, "is no number"),
        ({"epochs": "9" * 400}, "--epochs"),
        ({"learning_rate_multiplier": "nan"}, "is no number"),
        ({"max_cost": "0.0000001"}, "more than --max-cost"),
        ({"suffix": "x" * 100}, "suffix"),
        ({"model": "gpt-5-2025-08-07"}, "does not train"),
    ],
)  # fmt: skip
def test_a_bad_field_is_one_sentence_and_sends_nothing(
    ftctl: Ftctl, host: Simulator, visitor: Visitor, changes: dict[str, str], said: str
):
    answer = planned(visitor, **changes)
    assert answer.status == 422
    assert said in visible(answer.text).replace("&#x27;", "'")
    assert jobs(ftctl) == []


def test_a_budget_holds_here_too(ftctl: Ftctl, visitor: Visitor):
    with (ftctl.home / "ftctl.toml").open("a") as file:
        file.write("budget_usd_per_month = 0.000001\n")
    with visiting(ftctl) as poor:
        answer = planned(poor)
    assert answer.status == 422
    assert "udget" in answer.text


def test_a_host_that_fails_costs_no_job_and_no_page(
    ftctl: Ftctl, host: Simulator, visitor: Visitor
):
    host.order_fault("create_job", Fault.DROP_AFTER_ACCEPT)
    place = visitor.send(planned(visitor).form("/submit/confirm")).headers["location"]
    eventually(ftctl, JobStatus.UNKNOWN)
    assert "unknown" in visitor.get(place).text


def test_a_job_is_cancelled_after_a_question(ftctl: Ftctl, host: Simulator, visitor: Visitor):
    visitor.send(planned(visitor).form("/submit/confirm"))
    place = f"/jobs/{eventually(ftctl, JobStatus.QUEUED).id}"
    question = visitor.get(f"{place}/cancel")
    assert "may be billed" in question.text
    assert visitor.send(question.form(f"{place}/cancel")).status == 303
    assert jobs(ftctl)[0].status is JobStatus.CANCELLED
    assert "has ended" in visitor.get(f"{place}/cancel").text


def test_a_job_is_paused_and_resumed(ftctl: Ftctl, host: Simulator, visitor: Visitor):
    visitor.send(planned(visitor).form("/submit/confirm"))
    place = f"/jobs/{eventually(ftctl, JobStatus.QUEUED).id}"
    host.advance(3)
    visitor.send(visitor.get(place).form(f"{place}/look"))
    eventually(ftctl, JobStatus.RUNNING)
    visitor.send(visitor.get(place).form(f"{place}/pause"))
    eventually(ftctl, JobStatus.PAUSED)
    visitor.send(visitor.get(place).form(f"{place}/resume"))
    assert jobs(ftctl)[0].status is not JobStatus.PAUSED


def test_a_watched_job_is_looked_at(ftctl: Ftctl, host: Simulator, visitor: Visitor):
    place = visitor.send(planned(visitor).form("/submit/confirm")).headers["location"]
    eventually(ftctl, JobStatus.QUEUED)
    host.advance(9)
    visitor.get(f"{place}/live?status=queued")
    job = eventually(ftctl, JobStatus.SUCCEEDED)
    shown = visitor.get(f"{place}/live?status=queued").text
    assert "data-changed" in shown
    assert "<svg" in shown
    assert job.tuned_model is not None
    assert job.tuned_model in shown

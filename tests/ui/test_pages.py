"""Every page over real HTTP: what it shows, how much it reads, and that no text acts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any, cast

import pytest
from sqlalchemy import event, insert

from orchestrator.domain.comparing.answerbook import Scores
from orchestrator.domain.jobs.job import (
    Checkpoint,
    Job,
    JobEvent,
    JobStatus,
    MetricPoint,
    RemoteError,
)
from orchestrator.domain.provider import Provider
from orchestrator.store.job_values import to_row
from orchestrator.store.tables import job_rows
from orchestrator.usecases.adapters.aliases import promote
from orchestrator.usecases.adapters.push import Origin, push, take_in
from orchestrator.usecases.adapters.registry import Registry
from tests.conftest import Ftctl
from tests.factories import a_dataset, a_job, adapter_folder, chat_file
from tests.reports.samples import a_report
from tests.ui.visiting import Answer, Served, Visitor, served, visible, visiting
from tests.usecases.comparing import Host, row, tuned_job, write

HOSTILE = (
    "<script>alert(1)</script>\x1b[31m\"'><img src=x onerror=alert(1)> javascript:alert(1) \u202e"
)
MOST_BYTES = 100_000


class Structure(HTMLParser):
    """Tags and attributes of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.inputs: set[str] = set()
        self.labels: set[str] = set()
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        self.attributes += attrs
        if tag in {"input", "select"} and given.get("type") not in {"hidden", "checkbox"}:
            self.inputs.add(given.get("id") or "")
        if tag == "label":
            self.labels.add(given.get("for") or "")

    @property
    def acts(self) -> set[str]:
        """Everything that could act on its own."""
        found = {tag for tag in self.tags if tag in {"img", "iframe", "object", "style", "base"}}
        found |= {name for name, _ in self.attributes if name.startswith("on") or name == "style"}
        for name, value in self.attributes:
            if name in {"href", "src", "action"} and not re.match(r"[/#?](?!/)|/$", value or ""):
                found.add(str(value))
        return found


def sound(answer: Answer, *, status: int = 200) -> Structure:
    """The answer is a page: small, named, labelled, and nothing in it acts."""
    found = Structure(answer.text)
    assert answer.status == status
    assert len(answer.text.encode()) < MOST_BYTES
    assert found.tags.count("h1") == found.tags.count("main") == 1
    assert found.tags.count("table") == found.tags.count("caption")
    assert found.inputs <= found.labels
    assert found.tags.count("script") <= 1
    assert not found.acts
    assert "\x1b" not in answer.text
    assert "\u202e" not in answer.text
    return found


@pytest.fixture
def visitor(ftctl: Ftctl) -> Iterator[Visitor]:
    with visiting(ftctl) as found:
        yield found


def kept_dataset(ftctl: Ftctl) -> None:
    app = ftctl.app()
    (ftctl.home / "kept").write_bytes(b"{}\n")
    app.datasets.keep(a_dataset(), ftctl.home / "kept")
    app.close()


def add_jobs(ftctl: Ftctl, jobs: list[Job]) -> None:
    kept_dataset(ftctl)
    app = ftctl.app()
    with app.engine.begin() as connection:
        connection.execute(insert(job_rows), [to_row(job) for job in jobs])
    app.close()


@contextmanager
def statements(here: Served) -> Iterator[list[str]]:
    """Every question to the database meanwhile."""
    asked: list[str] = []
    engine = here.site.desk.app.engine

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        asked.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        event.remove(engine, "before_cursor_execute", note)


class TestList:
    def test_ten_thousand_jobs_cost_no_more_than_fifty(self, ftctl: Ftctl):
        start = ftctl.clock.now()
        names = [f"job{number:05}" for number in range(10_000)]
        add_jobs(
            ftctl,
            [
                a_job(id=name, created_at=start - timedelta(minutes=number))
                for number, name in enumerate(names)
            ],
        )
        with served(ftctl) as here:
            here.visitor.enter(here.link)
            for target, first in (
                ("/", 0),
                ("/?from=50", 50),
                ("/?from=9990", 9950),
                ("/?q=mini", 0),
            ):
                with statements(here) as asked:
                    answer = here.visitor.get(target)
                sound(answer)
                shown = re.findall(r'href="/jobs/(job\d+)"', answer.text)
                assert shown == names[first : first + 50]
                about_jobs = [each for each in asked if "FROM jobs" in each]
                # A page past the end is asked for again, as the last one.
                assert len(about_jobs) <= 5
                assert all(
                    "LIMIT" in each or "count(" in each or "DISTINCT" in each for each in about_jobs
                )
                assert "of 10,000" in answer.text

    def test_filters_and_search_narrow_it(self, ftctl: Ftctl, visitor: Visitor):
        add_jobs(
            ftctl,
            [
                a_job(id="one", status=JobStatus.FAILED, suffix="Invoices"),
                a_job(id="two", provider="local", kind="peft", model="100%_sure"),
                a_job(id="six", remote_id="ftjob-Abc"),
            ],
        )
        for query, found in {
            "status=failed": {"one"},
            "provider=local": {"two"},
            "q=invoice": {"one"},
            "q=%25_": {"two"},
            "q=FTJOB-a": {"six"},
            "q=nothing": set(),
            "status=failed&provider=local": set(),
        }.items():
            answer = visitor.get(f"/?{query}")
            sound(answer)
            assert set(re.findall(r'href="/jobs/(\w+)"', answer.text)) == found, query

    @pytest.mark.parametrize("query", ["from=-1", "from=x", "from=99999999999999", "status=magic"])
    def test_a_bad_address_is_one_sentence(self, visitor: Visitor, query: str):
        sound(visitor.get(f"/?{query}"), status=400)

    def test_the_first_page_says_how_to_begin(self, visitor: Visitor):
        assert "No jobs yet." in visitor.get("/").text


class TestJob:
    @pytest.fixture
    def job(self, ftctl: Ftctl) -> Job:
        made = a_job(
            model=HOSTILE,
            tuned_model=HOSTILE,
            suffix="x",
            provider="gone",
            remote_id=HOSTILE,
            remote_status=HOSTILE,
            status=JobStatus.FAILED,
            error=RemoteError(message=HOSTILE, code=HOSTILE),
        )
        add_jobs(ftctl, [made])
        app = ftctl.app()
        at = ftctl.clock.now()
        app.jobs.add_events(
            made.id,
            [
                JobEvent(key=str(n), at=at, level="error", message=f"{n} {HOSTILE}")
                for n in range(90)
            ],
        )
        app.jobs.add_metrics(made.id, [MetricPoint(n, "train_loss", 1 / n) for n in range(1, 4000)])
        app.jobs.add_checkpoints(
            made.id,
            [
                Checkpoint(
                    remote_id="c", model=HOSTILE, step=3, created_at=at, metrics={HOSTILE: 0.5}
                )
            ],
        )
        app.close()
        return made

    def test_it_is_shown_whole_and_nothing_acts(self, visitor: Visitor, job: Job):
        answer = visitor.get(f"/jobs/{job.id}")
        found = sound(answer)
        assert found.tags.count("svg") == 1
        shown = visible(answer.text)
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown
        # The newest come first, and only some of them.
        assert "89 &lt;script" in shown
        assert "59 &lt;script" not in shown
        sound(visitor.get(f"/jobs/{job.id}?events=all"))

    def test_a_prefix_names_it_and_a_stranger_is_not_found(self, visitor: Visitor, job: Job):
        assert visitor.get(f"/jobs/{job.id[:6]}").status == 200
        for name in ("zzz", "..", "%2e%2e%2fx", "x" * 200):
            sound(visitor.get(f"/jobs/{name}"), status=404)

    def test_it_works_without_script_while_it_runs(self, ftctl: Ftctl, visitor: Visitor):
        running = a_job(status=JobStatus.SUBMITTING)
        add_jobs(ftctl, [running])
        text = visitor.get(f"/jobs/{running.id}").text
        assert '<noscript><meta http-equiv="refresh" content="10"></noscript>' in text
        assert 'aria-live="polite"' in text
        assert f'data-live="/jobs/{running.id}/live' in text

    def test_an_adopted_job_has_no_data_here(self, visitor: Visitor, ftctl: Ftctl):
        adopted = a_job(training=None, status=JobStatus.SUCCEEDED, tuned_model="ft:x")
        add_jobs(ftctl, [adopted])
        answer = visitor.get(f"/jobs/{adopted.id}")
        sound(answer)
        assert "/data/" not in answer.text
        assert visitor.get(f"/jobs/{adopted.id}/report").status == 200

    def test_a_job_in_doubt_says_what_to_type(self, ftctl: Ftctl, visitor: Visitor):
        doubtful = a_job(status=JobStatus.NEEDS_REVIEW)
        add_jobs(ftctl, [doubtful])
        assert f"ftctl resolve {doubtful.id} --absent" in visitor.get(f"/jobs/{doubtful.id}").text

    def test_its_report_is_the_page_that_the_command_writes(self, visitor: Visitor, job: Job):
        answer = visitor.get(f"/jobs/{job.id}/report")
        assert answer.status == 200
        assert "Gather evidence" in answer.text
        assert "script" not in Structure(answer.text).tags
        assert "style-src 'sha256-" in answer.headers["content-security-policy"]


class TestData:
    def test_findings_stand_at_their_rows(self, ftctl: Ftctl, visitor: Visitor):
        good = {
            "messages": [
                {"role": "user", "content": "q"},
                {"role": "assistant", "content": HOSTILE},
            ]
        }
        rows = [good, {"messages": [{"role": HOSTILE, "content": HOSTILE}]}, *[good] * 30]
        write(ftctl.home / "mixed.jsonl", rows)
        answer = visitor.get("/data?file=mixed.jsonl")
        found = sound(answer)
        assert found.tags.count("article") == 10
        assert "It would be refused" in answer.text
        assert "Row 2, line 2" in answer.text
        one = visitor.get("/data?file=mixed.jsonl&row=1")
        sound(one)
        assert "assistant, learned" in one.text

    def test_rows_are_paged_and_bounded(self, ftctl: Ftctl, visitor: Visitor):
        long = [
            {
                "messages": [
                    {"role": "user", "content": "<&>" * 40_000},
                    {"role": "assistant", "content": str(n)},
                ]
            }
            for n in range(35)
        ]
        write(ftctl.home / "long.jsonl", long)
        shown = []
        for first in (0, 10, 20, 30, 40):
            answer = visitor.get(f"/data?file=long.jsonl&only=all&from={first}")
            sound(answer)
            shown.append(re.findall(r">Row (\d+), line", answer.text))
        assert shown[0] == [str(n) for n in range(1, 11)]
        assert shown[3] == shown[4] == [str(n) for n in range(31, 36)]

    def test_a_file_that_changes_is_read_again(self, ftctl: Ftctl, visitor: Visitor):
        chat_file(ftctl.home / "train.jsonl", 12)
        assert "12 rows" in visitor.get("/data?file=train.jsonl").text
        chat_file(ftctl.home / "train.jsonl", 13)
        assert "13 rows" in visitor.get("/data?file=train.jsonl").text

    @pytest.mark.parametrize(
        "content",
        [b"", b"\xff\xfe\x00", b'[1]\n2\n"x"\nnull\n{}\n', b'{"messages": 5}\n', b"\x1f\x8bxx"],
    )
    def test_what_is_no_dataset_is_a_page_all_the_same(
        self, ftctl: Ftctl, visitor: Visitor, content: bytes
    ):
        (ftctl.home / "odd.jsonl").write_bytes(content)
        for method in ("supervised", "dpo", "reinforcement"):
            for only in ("", "all"):
                sound(visitor.get(f"/data?file=odd.jsonl&method={method}&only={only}"))

    def test_what_a_job_was_trained_on_is_there(self, ftctl: Ftctl, visitor: Visitor):
        job = tuned_job(ftctl)
        answer = visitor.get(f"/data/{job.training}?target=peft&only=all")
        sound(answer)
        assert "ticket 1000 please" in answer.text
        assert f"/data/{job.training}" in visitor.get("/data").text
        sound(visitor.get("/data/" + "0" * 64), status=500)


class TestComparisons:
    @pytest.fixture
    def compared(self, ftctl: Ftctl) -> str:
        host = Host(right={"tiny": 95, "ft:tiny:x": 55}, say=None)
        ftctl.build_provider = lambda profile: cast(Provider, host)
        job = tuned_job(ftctl)
        test = write(ftctl.home / "test.jsonl", [row(n, field=HOSTILE) for n in range(120)])
        found: str = ftctl("compare", job.id, "--test", test, "--json").json["id"]
        return found

    def test_rows_are_read_side_by_side(self, ftctl: Ftctl, visitor: Visitor, compared: str):
        sound(visitor.get("/comparisons"))
        for query in (
            "",
            "?outcome=lost",
            "?outcome=lost&slice=refund",
            "?from=110",
            "?against=base",
        ):
            answer = visitor.get(f"/comparisons/{compared}{query}")
            found = sound(answer)
            assert 0 < found.tags.count("article") <= 10
        lost = visitor.get(f"/comparisons/{compared}?outcome=lost&from=10").text
        typed = ftctl("rows", compared, "--lost", "--limit", "20", "--json").json
        shown = [int(number) for number in re.findall(r"<h3>Row (\d+)", lost)]
        assert shown == [each["row"] for each in typed[10:20]]
        for query in ("?outcome=magic", "?slice=magic", "?against=magic"):
            sound(visitor.get(f"/comparisons/{compared}{query}"), status=400)

    def test_models_without_a_job_are_compared_too(
        self, ftctl: Ftctl, visitor: Visitor, compared: str
    ):
        test = write(ftctl.home / "test.jsonl", [row(n) for n in range(60)])
        arms = ["--arm", "model:local/tiny", "--arm", "model:local/ft:tiny:x"]
        found = ftctl("compare", "--test", test, *arms, "--json").json["id"]
        for page in ("/comparisons", f"/comparisons/{found}"):
            answer = visitor.get(page)
            sound(answer)
            assert "/jobs/None" not in answer.text

    def test_hostile_rows_do_not_act(self, ftctl: Ftctl, visitor: Visitor, compared: str):
        app = ftctl.app()
        whole = app.comparisons.find(compared)
        samples = app.comparisons.samples(compared)
        kept = app.comparisons.scores(compared)
        scores = {arm: Scores(list(by), list(by.values())) for arm, by in kept.items()}
        bad = [
            sample._replace(asked=HOSTILE, reference=HOSTILE, slice=HOSTILE) for sample in samples
        ]
        app.comparisons.keep_scores(compared, bad, scores)
        slices = [replace(whole.slices[0], slice=HOSTILE)]
        app.comparisons.finish(compared, replace(whole, slices=slices, reason=HOSTILE).as_json())
        app.close()
        sound(visitor.get(f"/comparisons/{compared}"))

    def test_reports_are_kept_as_they_were(self, ftctl: Ftctl, visitor: Visitor, compared: str):
        assert "None was written yet" in visitor.get("/reports").text
        job = ftctl("comparisons", "--json").json[0]["job_id"]
        ftctl("report", job, "--out", ftctl.home / "decision")
        answer = visitor.get("/reports")
        sound(answer)
        (place,) = set(re.findall(r'href="(/reports/\w+)"', answer.text))
        kept = visitor.get(place).text
        assert kept == (ftctl.home / "decision" / "report.html").read_text(encoding="utf-8")
        sound(visitor.get("/reports/none"), status=404)


def test_a_hostile_report_does_not_act(ftctl: Ftctl, visitor: Visitor):
    made = a_job()
    add_jobs(ftctl, [made])
    app = ftctl.app()
    plain = a_report(job=replace(made, model=HOSTILE)).as_json()
    app.comparisons.keep_report(plain, None, ftctl.clock.now())
    app.close()
    (place,) = set(re.findall(r'href="(/reports/\w+)"', visitor.get("/reports").text))
    found = Structure(visitor.get(place).text)
    assert not {"script", "img"} & set(found.tags)


class TestMoneyAndDays:
    def test_costs_are_those_of_the_command(self, ftctl: Ftctl, visitor: Visitor):
        sound(visitor.get("/costs"))
        sound(visitor.get("/costs?month=all&provider=local"))
        sound(visitor.get("/costs?month=2026-13"), status=400)

    def test_models_that_end_next_come_first(self, ftctl: Ftctl, visitor: Visitor):
        tuned_job(ftctl)
        for query in ("", "?within=90", "?within=30", "?within=magic"):
            sound(visitor.get(f"/models{query}"))
        left = [
            int(days)
            for days in re.findall(r'"status[^"]*">in (\d+) days<', visitor.get("/models").text)
        ]
        assert left == sorted(left)
        assert left
        answer = visitor.get("/leaving")
        sound(answer)
        assert "ft:tiny:x" in answer.text


def test_an_error_that_nobody_expected_is_a_page_without_a_traceback(ftctl: Ftctl):
    with served(ftctl) as here:
        here.visitor.enter(here.link)
        here.site.desk.app.engine.dispose()
        (ftctl.home / "ftctl.db").write_bytes(b"not a database" * 1000)
        answer = here.visitor.get("/")
        assert answer.status == 500
        assert "Traceback" not in answer.text
        assert "SELECT" not in answer.text


class TestAdapters:
    @pytest.fixture
    def registry(self, ftctl: Ftctl) -> Registry:
        app = ftctl.app()
        for seed in (1.0, 2.0):
            with app.adapters.stage() as outer, app.adapters.stage() as stage:
                take_in(adapter_folder(outer / "own", seed=seed), stage, None)
                push(app.adapters, stage, "tickets", Origin(base_model={"name": "tiny"}))
        promote(app.adapters, "tickets", "v1", forced=True, reason=HOSTILE)
        return app.adapters

    def test_an_alias_moves_after_a_question_and_back(self, visitor: Visitor, registry: Registry):
        sound(visitor.get("/adapters"))
        sound(visitor.get("/adapters/tickets"))
        asked = visitor.get("/adapters/tickets/promote?version=v2")
        sound(asked)
        form = asked.form("/adapters/tickets/promote")
        assert visitor.send(form, alias="candidate", reason=HOSTILE).status == 303
        assert registry.repo.history("tickets").aliases == {"champion": "v1", "candidate": "v2"}
        promote(registry, "tickets", "v2", forced=True, reason="a test")
        back = visitor.get("/adapters/tickets/rollback").form("/adapters/tickets/rollback")
        assert visitor.send(back).status == 303
        assert registry.repo.history("tickets").aliases["champion"] == "v1"
        # The same form again: what it was about is no more.
        assert visitor.send(back).status == 400
        sound(visitor.get("/adapters/tickets"))

    def test_the_gate_is_not_passed_by_clicking(self, visitor: Visitor, registry: Registry):
        form = visitor.get("/adapters/tickets/promote?version=v2").form("/adapters/tickets/promote")
        sound(visitor.send(form, forced="yes", force="yes"), status=409)
        assert registry.repo.history("tickets").aliases == {"champion": "v1"}

    def test_a_task_that_is_not_there(self, visitor: Visitor, registry: Registry):
        sound(visitor.get("/adapters/nothing"), status=404)
        sound(visitor.get("/adapters/..%2ftickets"), status=404)

"""What a person sees of prices and dates: lists, checks, refusals and the ways out."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from orchestrator.domain.clock import ManualClock
from orchestrator.domain.jobs.job import JobStatus
from orchestrator.resources import schema
from providers.simulator import Simulator
from tests.conftest import Ftctl
from tests.factories import DIGEST, a_dataset, a_job, chat_file

OPENAI = ["--provider", "openai", "--dry-run", "--model"]
TUNED = "ft:gpt-4.1-mini-2025-04-14:acme::1"


def checked(name: str, plain: Any) -> Any:
    jsonschema.Draft202012Validator(schema(f"{name}.schema.json")).validate(plain)
    return plain


def configure(ftctl: Ftctl, text: str) -> None:
    with (ftctl.home / "ftctl.toml").open("a", encoding="utf-8") as file:
        file.write(text)


def on(day: str) -> ManualClock:
    return ManualClock(datetime.fromisoformat(day).replace(tzinfo=UTC))


def tuned(ftctl: Ftctl, **fields: Any) -> str:
    """A job in the ledger, with a tuned model unless said otherwise; its id."""
    app = ftctl.app()
    content = ftctl.home / "row.jsonl"
    content.write_text("{}\n")
    app.datasets.keep(a_dataset(), content)
    job = a_job(
        **{"status": JobStatus.SUCCEEDED, "tuned_model": TUNED, "training": DIGEST, **fields}
    )
    app.jobs.add(job)
    app.close()
    return job.id


@pytest.fixture
def train(ftctl: Ftctl) -> Path:
    return chat_file(ftctl.home / "train.jsonl")


@pytest.fixture
def host() -> Iterator[Simulator]:
    with Simulator("openai") as simulator:
        yield simulator


@pytest.fixture
def wired(ftctl: Ftctl, host: Simulator) -> Ftctl:
    """A profile `host` of kind openai, served by the simulator."""
    ftctl.environment["KEY"] = "sk-lifetimes"
    configure(
        ftctl,
        f'[providers.host]\nkind = "openai"\nbase_url = "{host.url}"\napi_key_env = "KEY"\n',
    )
    return ftctl


class TestModels:
    def test_they_are_listed_without_network_and_without_a_ledger(self, ftctl: Ftctl):
        found = checked("models", ftctl("models", "list", "--json").json)
        mini = next(
            m for m in found
            if (m["provider"], m["model"]) == ("azure", "gpt-4.1-mini-2025-04-14")
        )  # fmt: skip
        assert mini["training_ends"]["date"] == "2027-04-14"
        assert mini["tuned_answer_until"]["days_left"] == 328
        assert not (ftctl.home / "ftctl.db").exists()

    def test_expiring_ones_with_or_without_the_word_list(self, ftctl: Ftctl):
        job = tuned(ftctl)
        alone = ftctl("models", "--expiring", "--json").json
        assert alone == ftctl("models", "list", "--expiring", "--json").json
        assert (alone[0]["model"], alone[0]["job"]) == (TUNED, job)
        names = {each["model"] for each in alone}
        assert "gpt-4.1-2025-04-14" in names
        assert not {"gpt-oss-20b", "babbage-002", "gpt-6-luna"} & names
        shorter = ftctl("models", "--expiring", "--within", "3w", "--json").json
        assert {each["answers_until"]["date"] for each in shorter} == {"2026-12-11"}

    def test_a_tuned_model_that_is_gone_stays_in_sight(self, ftctl: Ftctl):
        tuned(ftctl)
        ftctl.clock = on("2027-02-01")
        (mine,) = [m for m in ftctl("models", "--expiring", "--json").json if m["tuned"]]
        assert mine["answers_until"]["days_left"] == -18

    def test_a_named_profile_is_asked(self, wired: Ftctl, host: Simulator):
        with host._memory.change() as state:
            state["jobs"]["ftjob-1"] = {"fine_tuned_model": TUNED, "finished_at": 1}
        host.date_model(TUNED, shutdown_date="2027-01-31")
        (mine,) = [m for m in wired("models", "--provider", "host", "--json").json if m["tuned"]]
        assert mine["answers_until"]["date"] == "2027-01-31"
        assert mine["answers_until"]["origin"] == "provider"
        assert host.count("list_models") == 1

    def test_a_profile_that_cannot_be_asked_is_told_and_the_rest_is_shown(self, ftctl: Ftctl):
        outcome = ftctl("models", "--provider", "openai")
        assert (outcome.code, "gpt-4.1-2025-04-14" in outcome.out) == (0, True)
        assert "openai was not asked" in outcome.err

    def test_ones_own_day_wins_and_says_so(self, ftctl: Ftctl):
        configure(
            ftctl,
            '[[lifecycle]]\nprovider = "openai"\nmodel = "gpt-4.1-mini"\n'
            "serving_ends = 2027-06-30\nread_on = 2026-11-20\n",
        )
        job = tuned(ftctl)
        (mine,) = [m for m in ftctl("models", "--json").json if m["tuned"]]
        assert mine["answers_until"] == {
            "date": "2027-06-30", "days_left": 222, "origin": "ftctl.toml", "source": "you",
            "read_on": "2026-11-20",
        }  # fmt: skip
        assert "answers until 2027-06-30 (222 days; ftctl.toml" in ftctl("status", job).out
        assert ftctl("status", job, "--json").json["tuned_model_ends"] == "2027-06-30"

    def test_the_list_of_jobs_and_the_doctor_point_there(self, ftctl: Ftctl):
        tuned(ftctl)
        assert "1 tuned model stops answering within 90 days" in ftctl("status").err
        found = ftctl("doctor", "--json").json["findings"]
        (dates,) = [each for each in found if each["check"] == "prices and dates"]
        assert (dates["state"], "2026-11-20" in dates["detail"]) == ("good", True)
        ftctl.clock = on("2027-02-01")
        found = ftctl("doctor", "--json").json["findings"]
        (dates,) = [each for each in found if each["check"] == "prices and dates"]
        assert dates["state"] == "look"
        configure(ftctl, '[[lifecycle]]\nprovider = "openai"\n')
        assert ftctl("doctor").code == 3


class TestPrices:
    def test_a_list_for_people_and_for_scripts(self, ftctl: Ftctl):
        found = ftctl("prices", "list", "--provider", "azure", "--model", "gpt-oss-20b")
        assert found.out.count("gpt-oss-20b") == 6
        assert "[1] Azure public retail" in found.out
        rows = checked("price_list", ftctl("prices", "list", "--json").json)
        assert len(rows) == 220
        hours = ftctl("prices", "list", "--kind", "gpu_hour", "--json").json
        assert {row["unit"] for row in hours} == {"hour"}
        assert ftctl("prices", "list", "--model", "nobody", "--json").json == []

    def test_nothing_rests_on_old_prices_without_jobs(self, ftctl: Ftctl):
        found = ftctl("prices", "check", "--json")
        assert (found.code, checked("price_check", found.json)["ok"]) == (0, True)
        assert all(each["models"] == [] for each in found.json["old"])

    def test_what_the_jobs_need_must_be_fresh_and_priced(self, ftctl: Ftctl):
        tuned(ftctl)
        tuned(ftctl, model="gpt-9", tuned_model=None, token="t2", id="job2")
        tuned(ftctl, model="tiny", kind="peft", token="t3", id="job3", tuned_model=None)
        found = ftctl("prices", "check", "--json")
        assert found.code == 1
        checked("price_check", found.json)
        assert found.json["old"][0]["models"] == ["openai gpt-4.1-mini-2025-04-14"]
        (unpriced,) = found.json["unpriced"]
        assert (unpriced["model"], unpriced["jobs"]) == ("gpt-9", 1)
        assert "UNPRICED  openai gpt-9 (1 job): train" in ftctl("prices", "check").out

    def test_ones_own_prices_mend_that(self, ftctl: Ftctl):
        tuned(ftctl)
        for model, kind in [
            ("gpt-4.1-mini", "train"), ("ft:gpt-4.1-mini", "input"), ("ft:gpt-4.1-mini", "output"),
        ]:  # fmt: skip
            configure(
                ftctl,
                f'[[prices]]\nprovider = "openai"\nmodel = "{model}"\nkind = "{kind}"\n'
                "usd = 4\nread_on = 2026-11-20\n",
            )
        found = ftctl("prices", "check", "--json")
        assert found.code == 0
        replaced = [(each["kind"], each["replaces_usd"]) for each in found.json["overrides"]]
        assert replaced == [("train", 5), ("input", 0.8), ("output", 3.2)]
        assert ftctl("prices", "list", "--model", TUNED, "--kind", "input", "--json").json[0]["own"]

    def test_a_dry_run_counts_with_ones_own_price(self, ftctl: Ftctl, train: Path):
        dry: list[str | Path] = ["submit", train, *OPENAI, "gpt-4.1-mini", "--json"]
        before = ftctl(*dry).json["estimate"]["usd"]
        configure(
            ftctl,
            '[[prices]]\nprovider = "openai"\nmodel = "gpt-4.1-mini"\nkind = "train"\nusd = 10\n'
            "read_on = 2026-11-20\n",
        )
        after = ftctl(*dry)
        assert float(after.json["estimate"]["usd"]) == pytest.approx(2 * float(before))
        assert "is yours, from ftctl.toml: $10 instead of $5" in after.err

    @pytest.mark.parametrize("command", [["prices", "list"], ["models"], ["prices", "check"]])
    def test_a_row_that_makes_no_sense_is_one_sentence(self, ftctl: Ftctl, command: list[str]):
        table = "lifecycle" if command == ["models"] else "prices"
        configure(ftctl, f'[[{table}]]\nprovidr = "openai"\n')
        outcome = ftctl(*command)
        assert outcome.code == 3
        assert f"[[{table}]] row 1 in" in outcome.err
        assert "the nearest is 'provider'" in outcome.err


class TestSubmit:
    @pytest.mark.parametrize(
        ("model", "code", "said"),
        [
            ("gpt-4.1-nano", 1, "has taken no training jobs for gpt-4.1-nano since 2026-10-23"),
            ("gpt-3.5-turbo-0125", 1, "since 2026-10-23"),
            ("gpt-6-luna", 2, "openai does not train gpt-6-luna"),
            ("gpt-4o-2024-11-20", 2, "does not train"),
        ],
    )
    def test_what_cannot_be_trained_is_refused(self, ftctl, train, model, code, said):
        outcome = ftctl("submit", train, *OPENAI, model)
        assert outcome.code == code
        assert said in outcome.err
        assert "--provider local" in outcome.err

    def test_the_same_base_elsewhere_is_named(self, ftctl: Ftctl, train: Path):
        err = ftctl("submit", train, *OPENAI, "gpt-4.1-nano").err
        assert "--provider azure --model gpt-4.1-nano-2025-04-14 (until 2027-04-14)" in err

    def test_a_method_that_the_model_does_not_take(self, ftctl: Ftctl, train: Path):
        outcome = ftctl("submit", train, "--provider", "azure", "--dry-run", "--model", "o4-mini")
        assert outcome.code == 2
        assert (
            "azure does not train o4-mini with supervised; it does with reinforcement"
            in outcome.err
        )

    @pytest.mark.parametrize(("day", "code"), [("2027-01-05", 0), ("2027-01-06", 1)])
    def test_the_day_decides(self, ftctl: Ftctl, train: Path, day: str, code: int):
        ftctl.clock = on(day)
        assert ftctl("submit", train, *OPENAI, "gpt-4.1").code == code

    def test_an_unknown_model_passes_with_a_note(self, ftctl: Ftctl, train: Path):
        outcome = ftctl("submit", train, *OPENAI, "gpt-9")
        assert outcome.code == 0
        assert "nothing is known of gpt-9 at openai" in outcome.err

    def test_a_short_life_is_told_before_it_is_paid_for(self, ftctl: Ftctl, train: Path):
        err = ftctl("submit", train, *OPENAI, "gpt-4.1").err
        assert (
            "WARNING: models tuned from gpt-4.1-2025-04-14 stop answering on 2027-01-14, in 55 days"
        ) in err
        assert "until 2027-01-06 (47 days left)" in err
        long = ftctl("submit", train, "--provider", "azure", "--dry-run", "--model", "gpt-4.1").err
        assert "stop answering on 2027-10-14, in 328 days" in long
        assert "WARNING" not in long

    def test_who_knows_better_may(self, ftctl: Ftctl, train: Path):
        configure(
            ftctl,
            '[[lifecycle]]\nprovider = "openai"\nmodel = "gpt-4.1-nano"\ntraining_ends = "none"\n'
            'read_on = 2026-11-20\nsource = "our account manager"\n',
        )
        assert ftctl("submit", train, *OPENAI, "gpt-4.1-nano").code == 0

    def test_a_closed_account_is_told_the_ways_out_and_not_asked_again(
        self, wired: Ftctl, host: Simulator, train: Path
    ):
        host.order_fault(
            "create_job", "refuse", status=403, code="training_not_available", message="No."
        )
        submit: list[str | Path] = ["submit", train, "--provider", "host", "--model", "gpt-4.1"]
        first = wired(*submit)
        assert first.code == 1
        for said in ("2026-05-07", "2026-07-02", "2027-01-06", "ftctl evacuate", "ftctl migrate"):
            assert said in first.err
        (job,) = wired("status", "--json").json
        assert "ftctl evacuate" in wired("status", job["id"]).out
        asked = len(host.exchanges)
        second = wired(*submit)
        assert (second.code, len(host.exchanges)) == (1, asked)
        assert job["id"] in second.err
        assert wired(*submit, "--dry-run").code == 1
        assert wired(*submit, "--again").code == 0
        assert wired(*submit, "--again", "--dry-run").code == 0
        assert wired(*submit, "--dry-run").code == 0

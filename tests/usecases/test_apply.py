"""Plan and apply over the simulator: real files, a real database, every command as it is typed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from orchestrator import resources
from orchestrator.datasets.files.mixing import mix
from orchestrator.domain.jobs.job import JobStatus, MetricPoint
from orchestrator.specs.writing import to_yaml
from tests.conftest import Ftctl, Outcome

# The simulator says the question again; a tuned model says it in capitals.
ANSWERS = {"won": str.upper, "lost": str.lower, "drawn": lambda text: "neither"}


def rows(path: Path, kind: str, first: int, count: int) -> str:
    words = [f"{kind} question number {number}" for number in range(first, first + count)]
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(
        "".join(
            json.dumps(
                {
                    "messages": [
                        {"role": "user", "content": text},
                        {"role": "assistant", "content": ANSWERS[kind](text)},
                    ]
                }
            )
            + "\n"
            for text in words
        ),
        encoding="utf-8",
    )
    return str(path.relative_to(path.parents[1]))


def data(home: Path, kind: str) -> dict[str, str]:
    return {
        "train": rows(home / kind / "train.jsonl", kind, 0, 12),
        "validation": rows(home / kind / "validation.jsonl", kind, 100, 10),
        "test": rows(home / kind / "test.jsonl", kind, 200, 20),
    }


@pytest.fixture
def world(ftctl: Ftctl) -> Ftctl:
    (ftctl.home / "ftctl.toml").write_text('[providers.sim]\nkind = "simulator"\n')
    return ftctl


def write(world: Ftctl, **more: Any) -> Path:
    values: dict[str, Any] = {
        "provider": "sim",
        "model": "tiny",
        "seed": 1,
        "compare": {"arms": ["base", "few-shot:2", "tuned"]},
        **more,
    }
    path = world.home / "job.yaml"
    path.write_text(to_yaml({key: value for key, value in values.items() if value is not None}))
    return path


def conforms(outcome: Outcome, schema: str) -> Any:
    Draft202012Validator(resources.schema(f"{schema}.schema.json")).validate(outcome.json)
    return outcome.json


def jobs(world: Ftctl) -> list[Any]:
    return list(world("status", "--json").json)


def states(plan: Any) -> dict[str, str]:
    return {each["step"]: each["state"] for each in [*plan["trainings"], *plan["comparisons"]]}


def calls(world: Ftctl) -> int:
    """Answers that were asked for: each is kept once."""
    app = world.app()
    with app.engine.connect() as connection:
        count = connection.exec_driver_sql("SELECT count(*) FROM answers").scalar_one()
    app.close()
    return int(count)


def test_applying_twice_does_nothing_the_second_time(world: Ftctl):
    path = write(world, data=data(world.home, "won"))
    before = conforms(world("plan", path, "--json"), "plan")
    assert states(before) == {"train:job": "new", "compare:job": "new"}
    assert jobs(world) == []

    first = world("apply", path, "--json")
    assert first.code == 0, first.err
    summary = conforms(first, "apply")
    (task,) = summary["tasks"]
    assert (task["verdict"], task["gate"], task["difference"]["diff"]) == ("Improved", "passed", 1)
    assert (summary["won"], summary["share"], summary["finished"]) == (1, 1, True)
    assert Path(task["report"]).is_file()
    known, asked = jobs(world), calls(world)

    again = world("apply", path, "--json")
    assert again.json == summary
    assert (jobs(world), calls(world)) == (known, asked)
    assert len(world("comparisons", "--json").json) == 1
    after = conforms(world("plan", path, "--json"), "plan")
    assert after["done"]
    assert set(states(after).values()) == {"exists"}
    assert "nothing to do" in world("plan", path).out


@pytest.mark.parametrize(
    ("kind", "more", "code", "gate"),
    [
        ("lost", {}, 1, "failed"),
        ("drawn", {}, 10, "undecided"),
        ("drawn", {"margin": 20}, 0, "passed"),
        ("lost", {"gate": False}, 0, "none"),
    ],
)
def test_the_exit_code_is_what_the_gate_says(
    world: Ftctl, kind: str, more: dict[str, Any], code: int, gate: str
):
    compare = {"arms": ["base", "tuned"], **more}
    path = write(world, data=data(world.home, kind), compare=compare)
    outcome = world("apply", path, "--json")
    assert (outcome.code, outcome.json["tasks"][0]["gate"]) == (code, gate)


def test_a_changed_training_makes_a_new_job_and_says_why(world: Ftctl):
    files = data(world.home, "won")
    path = write(world, data=files)
    world("apply", path)
    rows(world.home / "won" / "train.jsonl", "won", 0, 13)
    path = write(world, data=files, hyperparameters={"n_epochs": 2})
    (training,) = world("plan", path, "--json").json["trainings"]
    assert training["state"] == "changed"
    rows_changed, knob = training["why"]
    assert knob == "hyperparameters.n epochs: none → 2"
    assert rows_changed.startswith("training rows: ")
    # Back to what it was: that job is there still.
    rows(world.home / "won" / "train.jsonl", "won", 0, 12)
    path = write(world, data=files)
    assert world("plan", path, "--json").json["done"]
    assert len(jobs(world)) == 1


def test_a_changed_comparison_measures_again_and_trains_nothing(world: Ftctl):
    files = data(world.home, "won")
    world("apply", write(world, data=files))
    asked = calls(world)
    path = write(world, data=files, compare={"arms": ["base", "few-shot:2", "tuned"], "margin": 3})
    plan = world("plan", path, "--json").json
    assert states(plan) == {"train:job": "exists", "compare:job": "changed"}
    assert plan["comparisons"][0]["why"] == ["margin: none → 3"]
    assert world("apply", path).code == 0
    assert (len(jobs(world)), calls(world)) == (1, asked)


def test_a_job_that_was_submitted_by_hand_is_found_and_its_export_finds_nothing_to_do(
    world: Ftctl,
):
    files = data(world.home, "won")
    typed = ("--provider", "sim", "--model", "tiny", "--seed", "1", "--epochs", "2", "--wait")
    train = world.home / files["train"]
    world("submit", train, "--validation", world.home / files["validation"], *typed)
    (job,) = jobs(world)
    path = write(world, data=files, hyperparameters={"n_epochs": 2}, compare=None)
    assert world("plan", path, "--json").json["trainings"][0]["job"] == job["id"]
    exported = world.home / "again.yaml"
    assert world("export", job["id"], "-o", exported).code == 0
    assert world("plan", exported, "--json").json["done"]
    train.unlink()
    assert world("export", job["id"], "-o", world.home / "kept.yaml").code == 0
    assert world("plan", world.home / "kept.yaml", "--json").json["done"]
    assert world("export", job["id"], "-o", exported).code == 2


def test_a_measured_job_exports_its_comparison_and_the_plan_of_it_finds_nothing_to_do(
    world: Ftctl,
):
    files = data(world.home, "won")
    typed = ("--provider", "sim", "--model", "tiny", "--seed", "1", "--epochs", "2", "--wait")
    world("submit", world.home / files["train"], *typed)
    (job,) = jobs(world)
    passages = world.home / "passages.jsonl"
    passages.write_text('{"text": "nothing of use"}\n')
    test, exported = world.home / files["test"], world.home / "again.yaml"
    arms = ("base", f"rag:{passages}", "tuned", "few-shot:2")
    named = [word for arm in arms for word in ("--arm", arm)]
    roles = ("--candidate", "tuned", "--candidate", "few-shot:2", "--baseline", "base")
    compared = world(
        "compare", job["id"], "--test", test, *named, *roles, "--margin", "4", "--json"
    )
    conforms(compared, "compare")
    spec = world("export", job["id"], "-o", exported, "--json").json
    assert spec["data"]["test"] == str(test)
    assert spec["compare"] == {
        "arms": list(arms), "candidates": ["tuned", "few-shot:2"], "baseline": "base", "margin": 4.0,
    }  # fmt: skip
    asked = calls(world)
    assert world("plan", exported, "--json").json["done"]
    summary = world("apply", exported, "--json").json
    assert summary["tasks"][0]["comparison"] == compared.json["id"]
    assert (len(jobs(world)), calls(world)) == (1, asked)
    # Another margin is another comparison, and the answers that are known are not asked again.
    exported.write_text(exported.read_text().replace("margin: 4.0", "margin: 5.0"))
    assert not world("plan", exported, "--json").json["done"]


def test_a_spec_names_its_candidates_and_its_baseline(world: Ftctl):
    compare = {
        "grader": "exact", "arms": ["base", "few-shot:2", "tuned"],
        "candidates": ["few-shot:2", "tuned"], "baseline": "base",
    }  # fmt: skip
    path = write(world, data=data(world.home, "won"), compare=compare)
    found = world("apply", path, "--json").json["tasks"][0]
    app = world.app()
    result = app.comparisons.find(found["comparison"])
    app.close()
    assert result.baseline == "base"
    assert [arm.name for arm in result.arms if arm.candidate] == ["few-shot:2", "tuned"]
    assert {(d.candidate, d.baseline) for d in result.differences} == {
        ("few-shot:2", "base"), ("tuned", "base"),
    }  # fmt: skip
    path = write(world, data=data(world.home, "won"), compare={**compare, "baseline": "bse"})
    outcome = world("plan", path)
    assert (outcome.code, "bse" in outcome.err) == (2, True)


def test_leave_to_submit_without_a_price_is_given_by_name(world: Ftctl):
    world.environment["KEY"] = "sk-test"
    (world.home / "ftctl.toml").write_text(
        '[providers.paid]\nkind = "openai"\nbase_url = "http://127.0.0.1:9/v1"\n'
        'api_key_env = "KEY"\n'
    )
    path = write(
        world, provider="paid", model="gpt-4.1-unpriced", data=data(world.home, "won"),
        compare=None, budget={"max_cost": 5},
    )  # fmt: skip
    refused = world("apply", path, "--yes")
    assert (refused.code, "--allow-unpriced" in refused.err, jobs(world)) == (2, True, [])
    assert world("apply", path, "--yes", "--no-wait", "--allow-unpriced").code != 2
    (job,) = jobs(world)
    assert job["model"] == "gpt-4.1-unpriced"


def three(world: Ftctl) -> dict[str, Any]:
    return {kind: {"data": data(world.home, kind)} for kind in ANSWERS}


def test_a_pipeline_trains_and_measures_every_task_and_the_mixed_adapter(world: Ftctl):
    path = write(world, tasks=three(world), mixed={"balance": True}, suffix="team")
    outcome = world("apply", path, "--json")
    summary = conforms(outcome, "apply")
    assert outcome.code == 1
    verdicts = {task["name"]: task["verdict"] for task in summary["tasks"]}
    assert verdicts == {"won": "Improved", "lost": "Degraded", "drawn": "Inconclusive"}
    assert (summary["won"], summary["measured"]) == (1, 3)
    # The same model in capitals, whatever it was trained on: no difference to the mixed one.
    for task in summary["tasks"]:
        assert task["mixed"]["own_against_mixed"]["diff"] == 0
        assert [arm["name"] for arm in task["arms"]] == ["base", "few-shot:2", "tuned", "mixed"]
    assert len(jobs(world)) == 4
    assert {job["tuned_model"].split(":")[3] for job in jobs(world)} == {
        "team-won",
        "team-lost",
        "team-drawn",
        "team-mixed",
    }
    page = (world.home / "ftctl-job" / "summary.md").read_text()
    assert "tuning won 1 of 3 tasks (33%)" in page
    assert "| won | exact | 20 |" in page
    app = world.app()
    groups = {job.options.metadata.get("ftctl_group") for job in app.jobs.all()}
    app.close()
    assert groups == {"job"}


def test_bad_data_of_one_task_stops_all_of_them_before_anything_is_sent(world: Ftctl):
    tasks = three(world)
    (world.home / "lost" / "train.jsonl").write_text('{"messages": []}\n' * 12)
    (world.home / "drawn" / "test.jsonl").write_text("no json\n")
    tasks["won"]["data"]["validation"] = "nowhere.jsonl"
    path = write(world, tasks=tasks)
    outcome = world("apply", path, "--json")
    assert outcome.code == 2
    told = conforms(outcome, "apply")["mistakes"]
    assert [mistake["pointer"] for mistake in told] == [
        "/tasks/won/data/validation",
        "/tasks/lost/data/train",
        "/tasks/drawn/data/test",
    ]
    assert all(mistake["line"] for mistake in told)
    assert jobs(world) == []
    del tasks["won"]["data"]["validation"]
    assert world("plan", write(world, tasks=tasks)).code == 1


def test_a_job_that_fails_does_not_stop_the_others_and_is_tried_again_only_when_asked(
    world: Ftctl,
):
    path = write(world, tasks={k: v for k, v in three(world).items() if k != "lost"})
    assert world("apply", path, "--no-wait").code == 10
    app = world.app()
    victim = next(job for job in app.jobs.all() if job.suffix == "drawn")
    now = app.clock.now()
    app.jobs.change(victim, now, "told so", JobStatus.FAILED, finished_at=now)
    app.close()
    outcome = world("apply", path, "--json")
    assert outcome.code == 1
    won, drawn = outcome.json["tasks"]
    assert (won["verdict"], drawn["verdict"], drawn["status"]) == ("Improved", None, "failed")
    assert "--retry-failed" in drawn["errors"][0]["hint"]
    assert world("plan", path, "--json").json["trainings"][1]["state"] == "failed"
    assert len(jobs(world)) == 2
    retried = world("apply", path, "--retry-failed", "--json")
    assert (retried.code, retried.json["tasks"][1]["verdict"]) == (10, "Inconclusive")
    assert len(jobs(world)) == 3
    assert world("apply", path, "--json").json == retried.json


def test_a_sweep_chooses_on_validation_rows_and_measures_the_winner_alone(world: Ftctl):
    sweep = {"grid": {"n_epochs": [3, 1]}, "choose_by": "validation_score"}
    path = write(world, data=data(world.home, "won"), sweep=sweep)
    outcome = world("apply", path, "--json")
    assert outcome.code == 0, outcome.err
    summary = conforms(outcome, "apply")
    points = summary["tasks"][0]["sweep"]
    # Both say everything right: a tie, which the cheaper one wins.
    assert [(p["value"], p["chosen"]) for p in points] == [(1, False), (1, True)]
    assert len(world("comparisons", "--json").json) == 1
    asked = calls(world)
    assert world("apply", path, "--json").json == summary
    assert calls(world) == asked
    assert "fewer training tokens" in world("apply", path).out


def test_a_sweep_by_loss_takes_the_lowest_among_the_points_that_have_a_model(world: Ftctl):
    sweep = {"points": [{"n_epochs": 1}, {"n_epochs": 2}, {"n_epochs": 3}]}
    path = write(world, data=data(world.home, "won"), sweep=sweep)
    assert world("apply", path, "--no-wait").code == 10
    app = world.app()
    for job in app.jobs.all():
        epochs = job.hyperparameters.n_epochs or 0
        loss = {1: 0.5, 2: 0.2, 3: 0.3}[epochs]
        app.jobs.add_metrics(job.id, [MetricPoint(900, "full_valid_loss", loss)])
    spoilt = next(job for job in app.jobs.all() if job.hyperparameters.n_epochs == 2)
    now = app.clock.now()
    app.jobs.change(spoilt, now, "told so", JobStatus.FAILED, finished_at=now)
    app.close()
    task = world("apply", path, "--json").json["tasks"][0]
    assert [point["chosen"] for point in task["sweep"]] == [False, False, True]
    assert (task["verdict"], task["errors"]) == ("Improved", [])
    world("apply", path, "--retry-failed", "--no-wait")
    app = world.app()
    retried = next(job for job in app.jobs.all() if job.hyperparameters.n_epochs == 2)
    app.jobs.add_metrics(retried.id, [MetricPoint(900, "full_valid_loss", 0.29)])
    app.close()
    # The point that came late is judged, too: a choice is one among all that are there.
    task = world("apply", path, "--json").json["tasks"][0]
    assert [point["chosen"] for point in task["sweep"]] == [False, True, False]
    assert task["job"] == retried.id


def test_a_budget_is_kept_before_anything_is_sent(world: Ftctl):
    world.environment["KEY"] = "sk-test"
    (world.home / "ftctl.toml").write_text(
        '[providers.paid]\nkind = "openai"\nbase_url = "https://host.invalid/v1"\n'
        'api_key_env = "KEY"\n'
    )
    files = data(world.home, "won")
    path = write(
        world,
        provider="paid",
        model="gpt-4.1-mini-2025-04-14",
        data=files,
        budget={"max_cost": 0.0001},
        hyperparameters={"n_epochs": 3},
    )
    plan = world("plan", path, "--json").json
    assert (plan["cost"]["usd"] > 0.0001, plan["cost"]["fits"]) == (True, False)
    outcome = world("apply", path, "--yes")
    assert outcome.code == 2
    assert "nothing was sent" in outcome.err
    assert jobs(world) == []


def test_arms_and_graders_are_tried_before_anything_is_paid_for(world: Ftctl):
    compare = {"arms": ["base", "recorded:gone", "tuned"]}
    path = write(world, data=data(world.home, "won"), compare=compare)
    outcome = world("plan", path)
    assert outcome.code == 2
    assert f"{path}:" in outcome.err
    assert "no recording 'gone'" in outcome.err


def test_what_the_provider_does_not_take_is_told_key_by_key_in_the_words_of_the_file(
    world: Ftctl,
):
    path = write(
        world,
        provider="openai",
        model="gpt-4.1-mini-2025-04-14",
        suffix="x" * 80,
        hyperparameters={"n_epochs": 500, "beta": 0.1},
        lora={"r": 8},
        compare={"grader": "judge", "arms": ["base", "few-shots:3", "tuned"]},
        data=data(world.home, "won"),
    )
    outcome = world("plan", path, "--json")
    assert outcome.code == 2
    assert {(mistake["pointer"], mistake["fix"]) for mistake in outcome.json["mistakes"]} == {
        ("/suffix", "a shorter suffix"),
        ("/lora", "leave lora away"),
        ("/hyperparameters/n_epochs", "n_epochs: 50"),
        ("/hyperparameters/beta", "leave beta away"),
        ("/compare/grader", "grader: judge:gpt-6-luna@openai"),
        ("/compare/arms/1", "arms: few-shot:6"),
    }
    assert "--" not in outcome.out


def test_one_file_is_cut_the_same_every_time_and_errors_name_its_own_lines(world: Ftctl):
    rows(world.home / "won" / "all.jsonl", "won", 0, 60)
    split = {"validation": 0.2, "test": 0.3, "seed": 4}
    path = write(world, data={"file": "won/all.jsonl", "split": split})
    outcome = world("apply", path, "--json")
    assert outcome.code == 0, outcome.err
    assert world("plan", path, "--json").json["done"]
    (dataset, *_) = world("dataset", "list", "--json").json
    assert "all.jsonl (" in json.dumps(dataset)
    lines = (world.home / "won" / "all.jsonl").read_text().splitlines()
    (world.home / "won" / "all.jsonl").write_text("\n".join([*lines[:41], "{", *lines[42:]]))
    told = world("plan", path)
    assert told.code == 1
    assert "line 42" in told.err


def test_rows_of_tasks_are_mixed_evenly_and_the_small_ones_repeated(tmp_path: Path):
    for name, count in (("a", 6), ("b", 2)):
        (tmp_path / name).write_text("".join(f"{name}{n}\n" for n in range(count)))
    files = [tmp_path / "a", tmp_path / "b"]
    mix(files, tmp_path / "plain")
    assert (tmp_path / "plain").read_text().split() == [
        "a0",
        "a1",
        "b0",
        "a2",
        "a3",
        "a4",
        "b1",
        "a5",
    ]
    mix(files, tmp_path / "even", balance=True)
    even = (tmp_path / "even").read_text().split()
    assert [row for row in even if row[0] == "b"] == ["b0", "b1"] * 3
    assert [row[0] for row in even] == ["a", "b"] * 6


@pytest.mark.parametrize("task", ["classification", "extraction", "translation", "qa", "chat"])
def test_a_first_spec_is_valid_and_never_written_over_another(world: Ftctl, task: str):
    data(world.home, "won")
    (world.home / "won").rename(world.home / "data")
    typed = ("init", "--task", task, "--provider", "sim")
    assert world(*typed).code == 0
    assert world("plan", "ftctl.yaml").code == 0, world("plan", "ftctl.yaml").err
    assert world("spec", "check", "ftctl.yaml").code == 0
    assert world(*typed).code == 2

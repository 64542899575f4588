"""Learning from rewards, and the graders that give them."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import openai
import pytest
import torch
from ftctl_worker.models.bases import Catalog
from ftctl_worker.models.loading import load_base
from ftctl_worker.queue.dataset import Item
from ftctl_worker.training.forms import form_of
from ftctl_worker.training.sampling import Sampler

from tests.worker.servers import Worker

CHECK = {
    "type": "string_check",
    "name": "right",
    "input": "{{ sample.output_text }}",
    "reference": "{{ item.reference }}",
    "operation": "like",
}

SIMILAR = {
    "type": "text_similarity",
    "name": "near",
    "input": "{{ sample.output_text }}",
    "reference": "{{ item.reference }}",
    "evaluation_metric": "fuzzy_match",
}
MULTI = {
    "type": "multi",
    "name": "both",
    "graders": {"check": CHECK, "similar": SIMILAR},
    "calculate_output": "0.75 * check + 0.25 * similar",
}


def prompts(count: int = 8) -> list[Any]:
    return [
        {
            "messages": [{"role": "user", "content": f"is number {number} even"}],
            "reference": "circle",
        }
        for number in range(count)
    ]


def reinforcement(grader: Any, **hyperparameters: Any) -> Any:
    return {
        "type": "reinforcement",
        "reinforcement": {"grader": grader, "hyperparameters": hyperparameters},
    }


def test_the_reward_rises_within_a_few_steps(worker: Worker) -> None:
    job = worker.client.fine_tuning.jobs.create(
        model="tiny",
        training_file=worker.upload(prompts()),
        validation_file=worker.upload(prompts(2)),
        seed=3,
        method=reinforcement(
            CHECK,
            n_epochs=16,
            batch_size=8,
            compute_multiplier=2,
            eval_samples=4,
            max_completion_tokens=5,
        ),
    )
    job = worker.wait_job(job.id, seconds=240)
    assert job.status == "succeeded", job.error
    assert job.method.reinforcement.grader.name == "right"
    assert job.method.reinforcement.hyperparameters.compute_multiplier == 2
    (file_id,) = job.result_files
    rows = list(csv.DictReader(worker.client.files.content(file_id).text.splitlines()))
    rewards = [float(row["train_reward_mean"]) for row in rows]
    assert len(rewards) == 16
    assert sum(rewards[-4:]) / 4 > sum(rewards[:4]) / 4 + 0.3


def test_prompts_without_room_and_equal_rewards_are_told(worker: Worker) -> None:
    rows = [{**row, "messages": [{"role": "user", "content": "so " * 600}]} for row in prompts(2)]
    never = {**CHECK, "reference": "no model says this"}
    jobs = [
        worker.client.fine_tuning.jobs.create(
            model="tiny",
            training_file=worker.upload(rows),
            method=reinforcement(
                never, n_epochs=1, compute_multiplier=0.25, max_completion_tokens=2, max_length=more
            ),
        ).id
        for more in (512, 9999)
    ]
    short, long = (worker.wait_job(job) for job in jobs)
    assert short.error.message.startswith("The shortest prompt has ")
    assert short.error.message.endswith("of 512 for an answer; shorten the prompts.")
    assert long.status == "succeeded", long.error
    said = [event.message for event in worker.events(long.id) if event.level == "warn"]
    assert said[-1] == "max_length is 2,048: the model reads no more"
    assert said[0].startswith("All answers of every step got the same reward")


def test_trl_learns_from_the_same_rewards(worker: Worker) -> None:
    job = worker.client.fine_tuning.jobs.create(
        model="tiny",
        training_file=worker.upload(prompts()),
        seed=3,
        method=reinforcement(
            MULTI, n_epochs=3, batch_size=4, compute_multiplier=0.5, max_completion_tokens=4,
            engine="trl",
        ),
    )  # fmt: skip
    job = worker.wait_job(job.id, seconds=240)
    assert job.status == "succeeded", job.error
    rows = list(csv.DictReader(worker.client.files.content(job.result_files[0]).text.splitlines()))
    assert [row["step"] for row in rows] == ["1", "2", "3", "4", "5", "6"]
    assert all(0 <= float(row["train_reward_mean"]) <= 1 for row in rows)


@pytest.mark.parametrize(
    ("rewards", "expected"),
    [
        ([[0.0, 1.0]], [[-1.0, 1.0]]),
        ([[1.0, 1.0]], [[0.0, 0.0]]),
        ([[float("nan"), 0.0, 1.0]], [[0.0, -1.0, 1.0]]),
        ([[float("nan"), float("nan")]], [[0.0, 0.0]]),
    ],
)
def test_an_answer_is_judged_against_those_of_its_prompt(rewards: Any, expected: Any) -> None:
    import torch
    from ftctl_worker.training.rewards import advantages

    assert torch.allclose(advantages(torch.tensor(rewards)), torch.tensor(expected))


@pytest.mark.parametrize(
    ("grader", "answer", "reward"),
    [
        (CHECK, "a circle", 1.0),
        (CHECK, "a Circle", 0.0),
        ({**CHECK, "operation": "ilike"}, "a Circle", 1.0),
        ({**CHECK, "operation": "eq"}, "circle", 1.0),
        ({**CHECK, "operation": "ne"}, "circle", 0.0),
        (SIMILAR, "circle", 1.0),
        (SIMILAR, "cirque", 8 / 12),
        ({**SIMILAR, "evaluation_metric": "rouge_1"}, "a circle", 2 / 3),
        ({**SIMILAR, "evaluation_metric": "rouge_l"}, "square", 0.0),
        ({**SIMILAR, "evaluation_metric": "bleu"}, "circle", 1.0),
        ({**SIMILAR, "evaluation_metric": "gleu"}, "circle square", 1 / 3),
        (MULTI, "cirque", 0.25 * 8 / 12),
        ({**CHECK, "input": "{{ sample.output_json.shape }}"}, '{"shape": "circle"}', 1.0),
    ],
)
def test_graders_give_the_rewards_of_their_words(
    worker: Worker, grader: Any, answer: str, reward: float
) -> None:
    client = worker.client.fine_tuning.alpha.graders
    assert client.validate(grader=grader).grader is not None
    said = client.run(grader=grader, model_sample=answer, item={"reference": "circle"})
    assert said.reward == pytest.approx(reward)
    assert not said.metadata.errors.other_error


def test_what_cannot_be_graded_is_said_and_no_zero(worker: Worker) -> None:
    client = worker.client.fine_tuning.alpha.graders
    said = client.run(grader=CHECK, model_sample="a", item={})  # type: ignore[arg-type]
    assert said.metadata.errors.invalid_variable_error
    divided = {**MULTI, "calculate_output": "check / similar"}
    said = client.run(grader=divided, model_sample="", item={"reference": "x"})  # type: ignore[arg-type]
    assert said.metadata.errors.other_error


@pytest.mark.parametrize(
    ("grader", "param"),
    [
        ({"type": "score_model", "name": "m", "input": [], "model": "x"}, "grader.type"),
        (
            {"type": "python", "name": "p", "source": "def grade(sample, item): return 1"},
            "grader.type",
        ),
        ({**SIMILAR, "evaluation_metric": "cosine"}, "grader.evaluation_metric"),
        ({**CHECK, "operation": "same"}, "grader.operation"),
        ({**MULTI, "calculate_output": "__import__('os')"}, "grader.calculate_output"),
        ({**MULTI, "calculate_output": "check + other"}, "grader.calculate_output"),
        ({**MULTI, "graders": {}}, "grader.graders"),
        ({**MULTI, "graders": {"again": MULTI}}, "grader.graders.again.type"),
        ("a grader", "grader"),
    ],
)
def test_a_grader_that_cannot_be_run_is_refused_with_its_place(
    worker: Worker, grader: Any, param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        worker.client.fine_tuning.alpha.graders.validate(grader=grader)
    assert refused.value.param == param
    with pytest.raises(openai.BadRequestError) as refused:
        worker.client.fine_tuning.jobs.create(
            model="tiny", training_file="file-1", method=reinforcement(grader)
        )
    assert refused.value.param == f"method.reinforcement.{param}"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"messages": [{"role": "assistant", "content": "x"}], "reference": "a"}, "the user's"),
        ({"messages": [{"role": "user", "content": "x"}]}, "no 'reference'"),
    ],
)
def test_rows_that_cannot_be_graded_fail_before_anything_is_drawn(
    worker: Worker, row: Any, said: str
) -> None:
    job = worker.client.fine_tuning.jobs.create(
        model="tiny",
        training_file=worker.upload([*prompts(2), row]),
        method=reinforcement(CHECK, max_completion_tokens=4),
    )
    job = worker.wait_job(job.id, seconds=240)
    assert job.status == "failed"
    assert job.error.code == "invalid_training_file"
    assert job.error.message.startswith("Line 3: ")
    assert said in job.error.message


PYTHON = """
import json
def grade(sample, item):
    print("this goes nowhere")
    return 0.5 if sample["output_text"] == item["reference"] else 0.25
"""


def test_python_is_graded_under_limits_where_the_operator_allows_it(tmp_path: Any) -> None:
    from ftctl_worker.graders.grader import GradingError, fields_of
    from ftctl_worker.graders.python_grader import PythonGrader

    fields = fields_of("circle", {"reference": "circle"})
    assert PythonGrader(name="g", source=PYTHON).grade(fields).reward == 0.5
    for source, fault in (
        (
            f"def grade(sample, item): return open('{tmp_path}/x', 'w', buffering=1).write('x\\n')",
            "runtime",
        ),
        ("def grade(sample, item): return len(bytearray(2**30))", "runtime"),
        ("def grade(sample, item): return 1 / 0", "runtime"),
        ("def grade(sample, item): return 'much'", "runtime"),
        ("def grade(sample, item):\n  while True: pass", "unresponsive"),
        ("import os; os._exit(3)", "runtime"),
        (
            "import os\ndef grade(sample, item): return len(os.environ.get('HOME', '')) or 1 / 0",
            "runtime",
        ),
    ):
        grader = PythonGrader(name="g", source=source, seconds=1.0)
        with pytest.raises(GradingError) as refused:
            grader.grade(fields)
        assert fault in refused.value.fault, source


def test_the_operator_allows_python_by_name(tmp_path: Any) -> None:
    from tests.worker import servers

    grader: Any = {"type": "python", "name": "p", "source": PYTHON}
    with servers.running(tmp_path, "--allow-python-graders") as worker:
        run = worker.client.fine_tuning.alpha.graders.run
        assert run(grader=grader, model_sample="a", item={"reference": "a"}).reward == 0.5


WORD = {
    "type": "object",
    "properties": {"word": {"enum": ["circle", "square"]}},
    "required": ["word"],
    "additionalProperties": False,
}
FORM = {"type": "json_schema", "json_schema": {"name": "a", "schema": WORD, "strict": True}}


def test_answers_are_drawn_in_the_form_that_was_asked_for(worker: Worker) -> None:
    """Without it no answer of a random model is JSON, so that the job would end as ungraded."""
    grader = {**CHECK, "input": "{{ sample.output_json.word }}", "operation": "eq"}
    method = reinforcement(
        grader, n_epochs=1, batch_size=4, compute_multiplier=0.25, max_completion_tokens=48
    )
    method["reinforcement"]["response_format"] = FORM
    job = worker.client.fine_tuning.jobs.create(
        model="mini", training_file=worker.upload(prompts(4)), seed=3, method=method
    )
    job = worker.wait_job(job.id)
    assert job.status == "succeeded", job.error
    assert job.to_dict()["method"]["reinforcement"]["response_format"] == FORM
    (file_id,) = job.result_files
    rows = list(csv.DictReader(worker.client.files.content(file_id).text.splitlines()))
    # A random model may fill an answer with blanks until it is cut off.
    assert [float(row["ungraded_share"]) < 0.5 for row in rows] == [True]


def test_what_the_form_alone_decides_is_no_choice(models_dir: Path, tmp_path: Path) -> None:
    base = Catalog(models_dirs=(models_dir,)).resolve("mini")
    loaded = load_base(base, precision="fp32", cache=tmp_path)
    sampler = Sampler(model=loaded.model, loaded=loaded, most=120, tokens=4096)
    item = Item(line=1, messages=[], tools=None, row={})
    form = form_of(item, FORM, loaded)
    torch.manual_seed(1)
    answers = sampler([[9, 8, 7], [9, 8], [9] * 5], [form, None, form])
    for text, answer in zip(sampler.texts(answers), answers, strict=True):
        if answer is answers[1]:
            assert all(answer.chosen)
            continue
        assert json.loads(text)["word"] in {"circle", "square"}
        assert answer.ids[-1] in loaded.eos_ids
        letters = loaded.tokenizer.convert_ids_to_tokens(answer.ids)
        chosen = {one for one, choice in zip(letters, answer.chosen, strict=True) if choice}
        # The first letter of the word; of the others, and of the key, only blanks can stand before.
        assert chosen & {"c", "s"}
        assert not chosen & set("wordirlquae")


@pytest.mark.parametrize(
    ("form", "engine", "said"),
    [
        ({"type": "xml"}, "peft", "must have the type"),
        ({"type": "json_object"}, "trl", "cannot hold answers to a form; use the engine peft"),
    ],
)
def test_a_form_that_cannot_be_held_is_refused(
    worker: Worker, form: Any, engine: str, said: str
) -> None:
    method = reinforcement(CHECK, engine=engine)
    method["reinforcement"]["response_format"] = form
    with pytest.raises(openai.BadRequestError, match=said):
        worker.client.fine_tuning.jobs.create(
            model="mini", training_file=worker.upload(prompts()), method=method
        )

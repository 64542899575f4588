"""Spec files are read with the place of every mistake, whatever is in them."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.jobs.dataset import Split
from orchestrator.domain.jobs.job import WORKER_OPTIONS, Hyperparameters
from orchestrator.specs.checking import spec_schema
from orchestrator.specs.document import Mistake, SpecInvalid
from orchestrator.specs.other_sources import read_json
from orchestrator.specs.whole import read_spec
from orchestrator.specs.writing import to_yaml
from orchestrator.specs.yaml_source import read_yaml
from orchestrator.usecases.comparing.evaluation import Evaluation

HEAD = "provider: local\nmodel: tiny\n"
DATA = "data: {train: a.jsonl, test: b.jsonl}\n"


def mistakes(path: Path, text: str) -> list[Mistake]:
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SpecInvalid) as caught:
        read_spec(path)
    return list(caught.value.mistakes)


@pytest.mark.parametrize(
    ("text", "place", "message", "fix"),
    [
        ("modle: tiny\n", (5, 1), "no key 'modle' at the top", "model:"),
        ("epochs: 3\n", (5, 1), "no key 'epochs'", "under hyperparameters: n_epochs:"),
        ("margin: 3\n", (5, 1), "no key 'margin'", "it belongs under compare"),
        ("api_key: abc\n", (5, 1), "no key 'api_key'", "keys stay out"),
        ("seed: ten\n", (5, 7), "seed must be a whole number", None),
        ("suffix: 7\n", (5, 9), "must be a text, not 7", 'in quotes: "7"'),
        ("name: Über\n", (5, 7), "must be a name", None),
        ("notes:\n\t- x\n", (6, 1), "A tab", "spaces"),
        ("seed: 1\nseed: 2\n", (6, 1), "twice; first in line 5", None),
        ("suffix: ${KEY}\n", (5, 9), "is not replaced", "api_key_env"),
        ("compare: {gate: no}\n", (5, 17), "true or false", "false"),
        ("compare: {task: clasification}\n", (5, 17), "one of", "classification"),
        ("compare: {task: qa, grader: exact}\n", (5, 11), "keep one", None),
        ("compare: {source: base}\n", (5, 11), "needs a margin", "margin: 3"),
        ("hyperparameters: {n_epochs: 0}\n", (5, 29), "a whole number from 1", None),
        ("sweep: {grid: {n_epochs: [1, 2]}}\n", (5, 1), "chooses on validation rows", None),
        ("mixed: true\n", (5, 1), "two tasks", None),
        ("notes: a: b\n", (5, 9), "A colon stands where none may", None),
        ("notes: !!python/object:os.system {}\n", (5, 8), "is not read here", None),
        ("notes: *nothing\n", (5, 8), "undefined alias", None),
        ("seed: 007\n", (5, 7), "whole number", None),
        ("seed: 1_000\n", (5, 7), "whole number", None),
        ("---\nx: 1\n", (5, 1), "second document", None),
    ],
)
def test_a_mistake_is_told_with_its_place_and_its_mend(
    tmp_path: Path, text: str, place: tuple[int, int], message: str, fix: str | None
):
    (found,) = mistakes(tmp_path / "s.yaml", f"{HEAD}\n{DATA}{text}")
    assert message in found.message
    assert found.place == place
    assert fix is None or fix in (found.fix or "")


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file(tmp_path: Path):
    text = "provider: 5\nhyperparameters: {n_epochs: x, beta: -1}\ndata: {tran: a}\n"
    found = mistakes(tmp_path / "s.yaml", text)
    assert [mistake.pointer for mistake in found] == [
        "",
        "/provider",
        "/hyperparameters/n_epochs",
        "/hyperparameters/beta",
        "/data/tran",
    ]


def test_words_stay_words_and_dates_stay_text(tmp_path: Path):
    path = tmp_path / "on.yaml"
    path.write_text(
        "provider: no\nmodel: 2026-11-20\nsuffix: 1:30\nnotes: 0x1F\n" + DATA, encoding="utf-8"
    )
    _, spec = read_spec(path)
    assert (spec.provider, spec.model, spec.tasks[0].suffix) == ("no", "2026-11-20", "1:30")
    assert (spec.name, spec.notes) == ("on", "0x1F")


def test_shared_settings_may_be_merged_and_aliases_are_bounded(tmp_path: Path):
    path = tmp_path / "s.yaml"
    path.write_text(
        HEAD
        + "tasks:\n  a: &a\n    data: {train: a, test: b}\n    seed: 3\n"
        + "  b: {<<: *a, seed: 4}\n",
        encoding="utf-8",
    )
    _, spec = read_spec(path)
    assert [(task.seed, task.data.test) for task in spec.tasks] == [
        (3, tmp_path / "b"),
        (4, tmp_path / "b"),
    ]
    layers = [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 8)]
    bomb = "l0: &l0 [x]\n" + "\n".join(layers) + "\n"
    assert "more than 20,000 values" in read_yaml(path, bomb).mistakes[0].message
    assert "inside what it stands for" in read_yaml(path, "a: &a [*a]\n").mistakes[0].message


def test_toml_and_json_say_the_same_and_tell_places(tmp_path: Path):
    wanted = {
        "provider": "local",
        "model": "tiny",
        "data": {"file": "all.jsonl", "split": {"test": 0.25, "seed": 3}},
    }
    (tmp_path / "s.json").write_text(json.dumps(wanted, indent="\t"), encoding="utf-8")
    (tmp_path / "s.yaml").write_text(to_yaml(wanted), encoding="utf-8")
    (tmp_path / "s.toml").write_text(
        'provider = "local"\nmodel = "tiny"\n[data]\nfile = "all.jsonl"\n'
        "split = {test = 0.25, seed = 3}\n",
        encoding="utf-8",
    )
    read = [read_spec(tmp_path / f"s.{kind}")[1] for kind in ("json", "yaml", "toml")]
    assert read[0].tasks == read[1].tasks == read[2].tasks
    assert read[0].tasks[0].data.sizes == {
        Split.TRAIN: 0.75,
        Split.VALIDATION: 0,
        Split.TEST: 0.25,
    }
    (bad,) = mistakes(
        tmp_path / "b.json", '{\n\t"provider": "p", "model": 3, "data": {"train": "x"}}'
    )
    assert bad.place == (2, 28)
    (bad,) = mistakes(tmp_path / "b.toml", 'provider = "p"\nmodel = "m"\n[data]\ntrian = "x"\n')
    assert (bad.place, bad.fix) == ((4, 1), "train:")
    (bad,) = mistakes(tmp_path / "c.toml", 'provider = "p\n')
    assert bad.place is not None
    assert bad.place.line == 1
    twice = read_json(tmp_path / "d.json", '{"a": 1,\n "a": 2}')
    assert [mistake.place for mistake in twice.mistakes] == [(2, 2)]


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text(min_size=1, max_size=8).filter(lambda key: key != "<<"), PLAIN))
def test_what_is_written_is_read_back(values: dict[str, Any]):
    def readable(value: Any) -> bool:
        return (
            "<<" not in value and all(map(readable, value.values()))
            if isinstance(value, dict)
            else (all(map(readable, value)) if isinstance(value, list) else True)
        )

    if not readable(values):
        return
    document = read_yaml(Path("s.yaml"), to_yaml(values))
    assert (list(document.mistakes), document.value) == ([], values)


@given(st.text(max_size=80) | st.text(alphabet="{}[]&*a:- \n\t!<|>\"'#%@", max_size=60))
def test_no_text_is_too_strange_to_be_told_what_is_wrong(text: str):
    document = read_yaml(Path("s.yaml"), text)
    assert document.value is None or not isinstance(document.value, bytes)


def test_the_schema_knows_every_key_there_is():
    rules = spec_schema()
    knobs = set(rules["$defs"]["hyperparameters"]["properties"])
    assert knobs == {field.name for field in dataclasses.fields(Hyperparameters)}
    assert set(rules["$defs"]["worker"]["properties"]) == set(WORKER_OPTIONS)
    assert set(rules["$defs"]["point"]["properties"]) == {*knobs, "lora", "worker"}
    assert set(rules["$defs"]["sweep"]["properties"]["grid"]["properties"]) == {
        *knobs,
        "lora",
        "worker",
    }
    typed = {field.name for field in dataclasses.fields(Evaluation)}
    assert set(rules["$defs"]["compare"]["properties"]) - {"gate"} == typed - {
        "test",
        "training",
        "seen",
        "max_cost",
        "allow_unpriced",
        # In a spec there is always a job.
        "provider",
    }


@pytest.mark.parametrize("page", ["README.md", "docs/specs.md"])
def test_the_examples_on_the_pages_are_valid(tmp_path: Path, page: str):
    text = (Path(__file__).resolve().parents[2] / page).read_text(encoding="utf-8")
    blocks = list(re.findall(r"```yaml\n(.*?)```", text, re.DOTALL))
    assert blocks
    for block in blocks:
        whole = (
            block
            if "provider:" in block
            else f"{HEAD}data: {{file: a, split: {{validation: 0.5}}}}\n{block}"
        )
        path = tmp_path / "example.yaml"
        path.write_text(whole, encoding="utf-8")
        read_spec(path)


def test_every_key_has_a_title_and_a_description():
    def bare(name: str, rule: dict[str, Any]) -> list[str]:
        inner = [b for key, each in rule.get("properties", {}).items() for b in bare(key, each)]
        told = "$ref" in rule or {"title", "description"} <= rule.keys()
        return inner if told else [name, *inner]

    rules = spec_schema()
    assert bare("the file", rules) == []
    assert [
        b for n, rule in rules["$defs"].items() if n not in {"name", "path"} for b in bare(n, rule)
    ] == []

"""A number is carried over only where its meaning comes with it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.jobs.job import Hyperparameters, Method
from orchestrator.domain.jobs.recipe import How, Line, RateMeaning, Target, recipe_of, translate
from tests.factories import a_job

MINI = "gpt-4.1-mini-2025-04-14"
UNPUBLISHED, OF_THE_BASE = RateMeaning.UNPUBLISHED, RateMeaning.OF_THE_BASE
CHOSEN = Hyperparameters(n_epochs=2, batch_size=8, learning_rate_multiplier=1.8)


def moved(job_model: str, meaning: RateMeaning, model: str, to: RateMeaning) -> dict[str, Line]:
    job = a_job(model=job_model, hyperparameters=CHOSEN, seed=7, suffix="tickets")
    target = Target(profile="there", model=model, meaning=to, suffix_limit=5)
    found = translate(recipe_of(job, meaning), target)
    assert found.hyperparameters.n_epochs == 2
    assert found.seed == 7
    kept = found.hyperparameters.learning_rate_multiplier, found.hyperparameters.batch_size
    lines = {line.name: line for line in found.lines}
    assert kept == ((1.8, 8) if lines["learning rate"].how is How.KEPT else (None, None))
    return lines


@pytest.mark.parametrize(
    ("job_model", "meaning", "model", "to", "how"),
    [
        (MINI, UNPUBLISHED, MINI, UNPUBLISHED, How.KEPT),
        ("gpt-4.1-mini", UNPUBLISHED, MINI, UNPUBLISHED, How.KEPT),
        (f"ft:{MINI}:acme::x", UNPUBLISHED, MINI, UNPUBLISHED, How.KEPT),
        (MINI, UNPUBLISHED, "gpt-oss-20b", UNPUBLISHED, How.LEFT),
        (MINI, UNPUBLISHED, "smollm2", OF_THE_BASE, How.LEFT),
        ("smollm2", OF_THE_BASE, "smollm2", OF_THE_BASE, How.KEPT),
        ("tiny", OF_THE_BASE, "smollm2", OF_THE_BASE, How.LEFT),
        ("smollm2", OF_THE_BASE, MINI, UNPUBLISHED, How.LEFT),
    ],
)
def test_a_learning_rate_goes_where_it_means_the_same(
    job_model: str, meaning: RateMeaning, model: str, to: RateMeaning, how: How
):
    lines = moved(job_model, meaning, model, to)
    assert lines["learning rate"].how is how
    assert lines["learning rate"].old == "x 1.8"
    assert lines["batch size"].how is how
    assert lines["epochs"].how is How.KEPT


def test_a_suffix_is_cut_to_what_the_target_takes():
    line = moved(MINI, UNPUBLISHED, MINI, UNPUBLISHED)["suffix"]
    assert (line.old, line.new, line.how) == ("tickets", "ticke", How.TRANSLATED)


def test_what_a_provider_told_it_chose_is_part_of_the_recipe():
    raw = {"method": {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 4}}},
           "hyperparameters": {"n_epochs": "auto", "batch_size": 16}}  # fmt: skip
    recipe = recipe_of(a_job(raw=raw), UNPUBLISHED)
    assert (recipe.epochs, recipe.batch_size, recipe.rate) == (4, 16, None)


def test_the_worker_tells_rank_and_rate():
    inner = {"n_epochs": 1, "learning_rate": 2e-4, "lora": {"r": 8, "alpha": 16}}
    raw = {"method": {"type": "supervised", "supervised": {"hyperparameters": inner}}}
    recipe = recipe_of(a_job(raw=raw), OF_THE_BASE)
    assert (recipe.lora_rank, recipe.lora_alpha) == (8, 16.0)
    assert recipe.rate is not None
    assert recipe.rate.meaning is RateMeaning.ABSOLUTE
    target = Target(profile="t", model="smollm2", meaning=OF_THE_BASE)
    lines = {line.name: line for line in translate(recipe, target).lines}
    assert lines["LoRA rank, alpha"].old == "8, 16"
    assert lines["learning rate"].how is How.LEFT


def test_beta_belongs_to_preferences():
    job = a_job(method=Method.DPO, hyperparameters=Hyperparameters(beta=0.2))
    target = Target(profile="t", model="smollm2", meaning=OF_THE_BASE)
    assert translate(recipe_of(job, UNPUBLISHED), target).hyperparameters.beta == 0.2


@given(
    told=st.dictionaries(
        st.sampled_from(("n_epochs", "batch_size", "learning_rate_multiplier", "lora")),
        st.none() | st.booleans() | st.text() | st.floats() | st.integers() | st.lists(st.none()),
    ),
    method=st.none() | st.text() | st.just({"supervised": {"hyperparameters": []}}),
)
def test_whatever_a_provider_says_every_setting_has_its_line(
    told: dict[str, object], method: object
):
    job = a_job(raw={"hyperparameters": told, "method": method})
    target = Target(profile="t", model="smollm2", meaning=OF_THE_BASE)
    lines = translate(recipe_of(job, UNPUBLISHED), target).lines
    assert {"epochs", "batch size", "learning rate", "seed"} <= {line.name for line in lines}
    assert all(line.why for line in lines)

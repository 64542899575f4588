"""Until when models train and answer: the dated file, what providers say, what the user knows."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime

import pytest

from orchestrator.domain.jobs.lifecycle import (
    Ending,
    Lifecycle,
    ModelDate,
    Origin,
    OwnDates,
    Said,
)
from orchestrator.domain.jobs.model_names import base_model, canonical_model, is_tuned
from orchestrator.resources import data

TODAY = date(2026, 11, 20)
MINE = Said(Origin.OWN, "our contract", TODAY)
TUNED = "ft:gpt-4.1-mini-2025-04-14:acme:triage:AbC123"


@pytest.fixture(scope="module")
def lifecycle() -> Lifecycle:
    return Lifecycle.from_json(json.loads(data("lifecycle.2026-11-20.json").read_text("utf-8")))


def day(ending: Ending | None) -> date | None:
    assert ending is not None
    return ending.day


def told(model: str, ends: date | None, training: date | None = None) -> ModelDate:
    at = datetime(2026, 11, 19, tzinfo=UTC)
    return ModelDate(
        provider="openai", account="a", model=model, serving_ends=ends, training_ends=training,
        changed_at=at, seen_at=at,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("gpt-4o-mini-2024-07-18", "gpt-4o-mini-2024-07-18"),
        ("ft:gpt-4o-mini-2024-07-18:org::AbC1", "gpt-4o-mini-2024-07-18"),
        ("ft:gpt-4o-mini-2024-07-18:org:suffix:AbC1:ckpt-step-90", "gpt-4o-mini-2024-07-18"),
        ("ft:gpt-4o-mini-2024-07-18", "gpt-4o-mini-2024-07-18"),
        ("gpt-4o-mini-2024-07-18.ft-72a2792ef7d24ba7b82c7fe4a37e379f", "gpt-4o-mini-2024-07-18"),
        ("gpt-4.1-2025-04-14.ft-72a2792ef7d24ba7-ship.it", "gpt-4.1-2025-04-14"),
        ("gpt-4.1-2025-04-14.ft-72a2792ef7d24ba7:ckpt-step-6", "gpt-4.1-2025-04-14"),
        ("ftchkpt-72a2792ef7d2", "ftchkpt-72a2792ef7d2"),
        ("Qwen/Qwen2.5-0.5B", "Qwen/Qwen2.5-0.5B"),
        ("ft:", ""),
    ],
)
def test_a_tuned_name_leads_to_its_base(name: str, base: str):
    assert base_model(name) == base
    assert is_tuned(name) == (base != name or name.startswith("ftchkpt-"))
    assert canonical_model(name) == (name if base == name else f"ft:{base}")


class TestTheFile:
    @pytest.mark.parametrize(
        ("provider", "model", "training", "serving"),
        [
            ("openai", "gpt-4.1-mini", date(2027, 1, 6), date(2027, 1, 14)),
            ("openai", TUNED, date(2027, 1, 6), date(2027, 1, 14)),
            ("openai", "ft:gpt-3.5-turbo-1106:acme::1", date(2026, 10, 23), date(2026, 10, 23)),
            ("openai", "gpt-4-0613", date(2026, 10, 23), date(2026, 10, 23)),
            ("azure", "gpt-4o-mini", date(2027, 4, 1), date(2027, 10, 1)),
            ("azure", "gpt-4.1-2025-04-14.ft-72a2792ef7d24ba7-x", date(2027, 4, 14),
             date(2027, 10, 14)),
            ("azure", "o4-mini-2025-04-16", date(2027, 4, 16), date(2027, 10, 16)),
            ("azure", "llama-3.3-70b-instruct", None, None),
            ("peft", "Qwen/Qwen2.5-0.5B", None, None),
        ],
    )  # fmt: skip
    def test_says_until_when(self, lifecycle, provider, model, training, serving):
        assert day(lifecycle.training_ends(provider, model)) == training
        assert day(lifecycle.serving_ends(provider, model)) == serving

    def test_knows_nothing_of_what_it_does_not_list(self, lifecycle: Lifecycle):
        for provider, model in [
            ("openai", "gpt-9"),
            ("azure", "gpt-9"),
            ("bedrock", "gpt-oss-20b"),
        ]:
            assert lifecycle.find(provider, model) is None
            assert lifecycle.training_ends(provider, model) is None

    def test_a_base_and_what_is_tuned_from_it_end_on_days_of_their_own(self, lifecycle: Lifecycle):
        tuned = "gpt-4.1-2025-04-14.ft-72a2792ef7d24ba7"
        assert day(lifecycle.answers_until("azure", "gpt-4.1")) == date(2027, 4, 14)
        assert day(lifecycle.answers_until("azure", tuned)) == date(2027, 10, 14)

    def test_the_last_day_of_training_is_the_one_before(self, lifecycle: Lifecycle):
        row = lifecycle.find("openai", "gpt-4.1")
        assert row is not None
        assert row.may_train(date(2027, 1, 5))
        assert not row.may_train(date(2027, 1, 6))
        assert not row.may_train(TODAY, "reinforcement")

    def test_names_the_steps_of_the_end(self, lifecycle: Lifecycle):
        days = [str(step.day) for step in lifecycle.cut_offs]
        assert days == ["2026-05-07", "2026-07-02", "2027-01-06"]


class TestAlternatives:
    def test_the_same_base_elsewhere_comes_first(self, lifecycle: Lifecycle):
        here, elsewhere = lifecycle.alternatives("openai", "gpt-4.1-nano", TODAY)
        assert "gpt-4.1-2025-04-14" in [row.model for row in here]
        assert (elsewhere[0].provider, elsewhere[0].model) == ("azure", "gpt-4.1-nano-2025-04-14")
        assert ("peft", "*") in [(row.provider, row.model) for row in elsewhere]

    def test_what_has_ended_is_none(self, lifecycle: Lifecycle):
        here, elsewhere = lifecycle.alternatives("openai", "gpt-4.1", date(2027, 4, 14))
        assert not here
        assert all(row.training_ends is None for row in elsewhere)

    def test_the_method_counts(self, lifecycle: Lifecycle):
        here, elsewhere = lifecycle.alternatives("openai", "o4-mini", TODAY, "reinforcement")
        assert not here
        assert elsewhere[0].model == "o4-mini-2025-04-16"


class TestWhoIsBelieved:
    def test_the_provider_before_the_file(self, lifecycle: Lifecycle):
        found = lifecycle.with_told([told(TUNED, date(2027, 3, 1))])
        ending = found.serving_ends("openai", TUNED)
        assert ending is not None
        assert (ending.day, ending.said.origin) == (date(2027, 3, 1), Origin.PROVIDER)
        assert day(found.training_ends("openai", TUNED)) == date(2027, 1, 6)
        assert day(found.serving_ends("openai", "gpt-4.1-mini")) == date(2027, 1, 14)

    def test_what_is_told_of_a_base_is_the_bases_own_end(self, lifecycle: Lifecycle):
        name = "gpt-4.1-2025-04-14"
        found = lifecycle.with_told([told(name, date(2027, 3, 1))])
        assert day(found.answers_until("openai", name)) == date(2027, 3, 1)
        assert day(found.serving_ends("openai", name)) == date(2027, 1, 14)

    def test_a_model_only_the_provider_knows(self, lifecycle: Lifecycle):
        found = lifecycle.with_told([told("ft:gpt-9:acme::1", date(2028, 1, 1))])
        assert day(found.serving_ends("openai", "ft:gpt-9:acme::1")) == date(2028, 1, 1)

    def test_the_user_before_everyone_and_only_where_he_speaks(self, lifecycle: Lifecycle):
        own = OwnDates("openai", "gpt-4.1-mini", {"serving_ends": date(2027, 6, 1)}, MINE)
        found = lifecycle.with_own([own]).with_told([told(TUNED, date(2027, 3, 1))])
        serving = found.serving_ends("openai", TUNED)
        training = found.training_ends("openai", TUNED)
        assert serving is not None
        assert training is not None
        assert (serving.day, serving.said) == (date(2027, 6, 1), MINE)
        assert (training.day, training.said.origin) == (date(2027, 1, 6), Origin.FILE)

    def test_the_user_may_open_and_close(self, lifecycle: Lifecycle):
        found = lifecycle.with_own(
            [
                OwnDates("openai", "gpt-4.1", {"training_ends": None}, MINE),
                OwnDates("azure", "gpt-oss-20b", {"trainable": False}, MINE),
                OwnDates("bedrock", "gpt-oss-20b", {"training_ends": date(2027, 1, 1)}, MINE),
            ]
        )
        assert [row.may_train(date(2030, 1, 1)) for row in found.models[:3]] == [True, False, False]
        elsewhere = found.alternatives("openai", "gpt-oss-20b", TODAY).elsewhere
        assert [row.provider for row in elsewhere if row.model == "gpt-oss-20b"] == ["bedrock"]

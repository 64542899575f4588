"""The user's own prices and dates: taken, or refused in one sentence that names the mend."""

from __future__ import annotations

import contextlib
import json
import re
import tomllib
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.errors import ConfigurationError
from orchestrator.domain.money.own_rows import own_dates, own_prices
from orchestrator.domain.money.prices import PriceBook
from orchestrator.resources import data

PRICE = {
    "provider": "azure", "model": "ft:gpt-4.1-mini", "kind": "host", "usd": 1.2,
    "read_on": date(2026, 11, 20),
}  # fmt: skip
DATES = {"provider": "azure", "model": "gpt-4.1-mini", "training_ends": date(2027, 6, 1),
         "read_on": date(2026, 11, 20)}  # fmt: skip


@pytest.fixture(scope="module")
def book() -> PriceBook:
    return PriceBook.from_json(json.loads(data("prices.2026-11-20.json").read_text("utf-8")))


def test_an_own_price_wins_and_says_so(book: PriceBook):
    mine = book.with_own(own_prices([PRICE], "ftctl.toml"))
    found = mine.find("azure", "gpt-4.1-mini-2025-04-14.ft-72a2792ef7d24ba7", "host")
    assert found is not None
    assert (found.usd, found.unit, found.tier) == (1.2, "hour", "global")
    assert found.who == "you (from ftctl.toml)"
    listed = mine.listed(found)
    assert listed is not None
    assert listed.usd == 1.7


def test_a_price_of_something_new(book: PriceBook):
    row = {**PRICE, "provider": "acme", "model": "big", "kind": "train", "source": "a letter"}
    mine = book.with_own(own_prices([row], "ftctl.toml"))
    cost = mine.training_cost(provider="acme", model="big", tokens=2_000_000)
    assert cost.usd == 2.4
    assert cost.prices[0].who == "a letter (from ftctl.toml)"


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{**PRICE, "usd_per_hour": 1}], "'usd_per_hour', which is none of .*"),
        ([{**PRICE, "modell": "x"}], "the nearest is 'model'"),
        ([PRICE, {**PRICE, "kind": "hosting"}], r"row 2 in f\.toml has the kind 'hosting'"),
        ([{**PRICE, "kind": "trian"}], "the nearest is 'train'"),
        ([{**PRICE, "tier": "globl"}], "the nearest is 'global'"),
        ([{**PRICE, "usd": "1.20"}], "needs usd, dollars as a number from 0 up"),
        ([{**PRICE, "usd": -1}], "needs usd"),
        ([{**PRICE, "usd": True}], "needs usd"),
        ([{**PRICE, "usd": float("nan")}], "needs usd"),
        ([{**PRICE, "unit": "million_tokens"}], "host is priced per hour"),
        ([{**PRICE, "read_on": "yesterday"}], "needs read_on, a day like 2026-11-20"),
        ([{k: v for k, v in PRICE.items() if k != "read_on"}], "needs read_on"),
        ([{k: v for k, v in PRICE.items() if k != "model"}], "needs model, a text"),
        ([PRICE, PRICE], "row 2 in f.toml speaks of the same as row 1"),
        (PRICE, r"write \[\[prices\]\] above each row"),
        ("1.20", r"must be a list of tables"),
    ],
)
def test_a_price_that_makes_no_sense_is_one_sentence(rows, said):
    with pytest.raises(ConfigurationError, match=said) as refused:
        own_prices(rows, "f.toml")
    assert refused.value.hint
    assert "\n" not in refused.value.message


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{**DATES, "trainig_ends": date(2027, 1, 1)}], "the nearest is 'training_ends'"),
        ([{**DATES, "training_ends": 2027}], 'a day like 2026-11-20 or "none"'),
        ([{**DATES, "trainable": "yes"}], "trainable = true"),
        ([{**DATES, "methods": "dpo"}], "a list of supervised, dpo, reinforcement"),
        ([{**DATES, "methods": ["sft"]}], "a list of supervised, dpo, reinforcement"),
        ([{k: v for k, v in DATES.items() if k != "training_ends"}], "says nothing"),
        ([DATES, DATES], "the same as row 1"),
    ],
)
def test_a_date_that_makes_no_sense_is_one_sentence(rows, said):
    with pytest.raises(ConfigurationError, match=said) as refused:
        own_dates(rows, "f.toml")
    assert refused.value.hint


def test_the_example_of_the_page_is_taken():
    page = (Path(__file__).parents[2] / "docs" / "prices-and-dates.md").read_text("utf-8")
    (toml,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    tables = tomllib.loads(toml)
    (price,) = own_prices(tables["prices"], "ftctl.toml")
    (dates,) = own_dates(tables["lifecycle"], "ftctl.toml")
    assert (price.usd, price.unit, price.source) == (1.2, "hour", "our agreement")
    assert dates.changes == {"training_ends": date(2027, 6, 1)}


def test_days_may_be_toml_days_texts_times_or_none():
    toml = """
    [[lifecycle]]
    provider = "azure"
    model = "gpt-4.1"
    training_ends = 2027-06-01
    serving_ends = "2028-01-01"
    base_ends = "none"
    read_on = 2026-11-20T10:00:00Z
    """
    (own,) = own_dates(tomllib.loads(toml)["lifecycle"], "f.toml")
    assert own.changes == {
        "training_ends": date(2027, 6, 1), "serving_ends": date(2028, 1, 1), "base_ends": None,
    }  # fmt: skip
    assert own.said.read_on == date(2026, 11, 20)


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9), st.dates(),
    st.lists(st.text(max_size=3), max_size=2), st.dictionaries(st.text(max_size=3), st.none()),
)  # fmt: skip


@given(st.sampled_from([own_prices, own_dates]), st.dictionaries(
    st.sampled_from([*PRICE, *DATES, "tier", "unit", "methods", "trainable", "x"]), VALUES),
)  # fmt: skip
def test_no_row_is_a_traceback(read, changes):
    row = {**(PRICE if read is own_prices else DATES), **changes}
    with contextlib.suppress(ConfigurationError):
        (found,) = read([row], "f.toml")
        assert found.provider == row["provider"].strip()

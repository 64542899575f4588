"""The dated files are what their schemas say, and the schemas refuse what is not."""

from __future__ import annotations

import copy
import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.jobs.lifecycle import Lifecycle
from orchestrator.domain.money.prices import PriceBook
from orchestrator.resources import data, schema

FILES = {
    name: json.loads(data(f"{name}.2026-11-20.json").read_text("utf-8"))
    for name in ("prices", "lifecycle")
}
ROWS = {"prices": ("prices",), "lifecycle": ("models", "cut_offs", "closed")}
OPTIONAL = {"methods", "replacement", "usd_dearest_region", "retired"}


def validator(name: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(
        schema(f"{name}.schema.json"), format_checker=jsonschema.FormatChecker()
    )


VALIDATORS = {name: validator(name) for name in FILES}


@pytest.mark.parametrize("name", FILES)
def test_the_files_are_what_their_schemas_say(name: str):
    VALIDATORS[name].validate(FILES[name])


@pytest.mark.parametrize("name", FILES)
def test_every_row_has_its_source_and_stands_once(name: str):
    plain = FILES[name]
    used = {row["source"] for part in ROWS[name] for row in plain[part]}
    assert used == set(plain["sources"])
    keys = ("provider", "model", "kind", "tier")
    named = [tuple(row.get(key) for key in keys) for row in plain[ROWS[name][0]]]
    assert len(named) == len(set(named))
    assert all(source["read_on"] <= plain["compiled"] for source in plain["sources"].values())


def test_every_priced_model_that_can_be_trained_is_in_the_lifecycle():
    lifecycle = Lifecycle.from_json(FILES["lifecycle"])
    trained = [row for row in FILES["prices"]["prices"] if row["kind"] in {"train", "train_hour"}]
    assert trained
    assert not [r for r in trained if lifecycle.find(r["provider"], r["model"]) is None]


@st.composite
def mutations(draw: st.DrawFn) -> tuple[str, Any]:
    """A file with one row that is not what its schema says."""
    name = draw(st.sampled_from(sorted(FILES)))
    part = draw(st.sampled_from(ROWS[name]))
    rows = FILES[name][part]
    index = draw(st.integers(0, len(rows) - 1))
    row = copy.deepcopy(rows[index])
    key = draw(st.sampled_from(sorted(set(row) - OPTIONAL - {"note", "who"})))
    how = draw(st.sampled_from(["drop", "misname", "list", "text"]))
    if how == "drop":
        del row[key]
    elif how == "misname":
        row[f"{key}_"] = row[key]
    elif how == "list":
        row[key] = [row[key]]
    else:
        # No model, word, day, number or truth begins or ends with a blank.
        row[key] = f" {draw(st.text(max_size=5))} "
        if key == "model" and name == "prices":
            row[key] = ""
    plain = copy.deepcopy(FILES[name])
    plain[part][index] = row
    return name, plain


@given(mutations())
def test_a_row_that_is_wrong_is_refused(mutation: tuple[str, Any]):
    name, plain = mutation
    assert not VALIDATORS[name].is_valid(plain)


@given(
    st.sampled_from(["train", "input", "output", "host", "train_hour", "gpu_hour"]),
    st.floats(0, 1e6),
    st.sampled_from(["million_tokens", "hour"]),
    st.sampled_from(sorted(FILES["prices"]["sources"])),
)
def test_what_the_schema_takes_is_read(kind: str, usd: float, unit: str, source: str):
    plain = {**FILES["prices"], "prices": [
        {"provider": "acme", "model": "m", "kind": kind, "usd": usd, "unit": unit,
         "tier": "standard", "source": source},
    ]}  # fmt: skip
    hourly = kind in {"host", "train_hour", "gpu_hour"}
    assert VALIDATORS["prices"].is_valid(plain) == (hourly == (unit == "hour"))
    found = PriceBook.from_json(plain).find("acme", "m", kind)
    assert found is not None
    assert (found.usd, found.source) == (usd, FILES["prices"]["sources"][source]["title"])

"""What the fast path accepts, the published schema accepts; and the two paths judge alike."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.datasets.checking.explain import explain_row, validator_of
from orchestrator.datasets.checking.limits import limits_of
from orchestrator.datasets.checking.reader import RowReader
from orchestrator.domain.jobs.job import Method

DATA = Path(__file__).parents[1] / "data" / "datasets"
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
SEEDS: dict[Method, list[Any]] = {
    Method.SUPERVISED: [
        {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
        {
            "messages": [
                {"role": "system", "content": [{"type": "text", "text": "s"}]},
                {
                    "role": "user",
                    "name": "n",
                    "content": [
                        {"type": "text", "text": "q"},
                        {"type": "image_url", "image_url": {"url": "u", "detail": "low"}},
                    ],
                },
                {"role": "assistant", "content": None, "tool_calls": [CALL]},
                {"role": "tool", "tool_call_id": "c1", "content": "r"},
                {"role": "assistant", "content": "z", "weight": 1, "refusal": None},
            ],
            "tools": [TOOL],
            "parallel_tool_calls": True,
        },
        {
            "messages": [
                {"role": "developer", "content": "d"},
                {"role": "user", "content": "q"},
                {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}},
                {"role": "function", "name": "f", "content": None},
                {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
            ],
            "functions": [{"name": "f", "description": "d"}],
        },
    ],
    Method.DPO: [
        {
            "input": {"messages": [{"role": "user", "content": "a"}], "tools": [TOOL]},
            "preferred_output": [{"role": "assistant", "content": "b"}],
            "non_preferred_output": [{"role": "assistant", "content": "c"}],
        }
    ],
    Method.REINFORCEMENT: [
        {"messages": [{"role": "user", "content": "a"}], "answer": 4, "tools": [TOOL]}
    ],
}
JUNK: list[Any] = [None, True, 0, 1, 1.0, 0.5, "", "x", "user", "text", [], {}, ["x"], {"a": 1}]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path]
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in items:
            found += places(inner, (*path, key))
    return found


def mutated(seed: Any, draw: Any) -> Any:
    row = copy.deepcopy(seed)
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(places(row)))
        if not path:
            continue
        holder = row
        for step in path[:-1]:
            holder = holder[step]
        action = draw(st.sampled_from(["replace", "delete", "add", "move"]))
        if action == "replace":
            holder[path[-1]] = copy.deepcopy(draw(st.sampled_from(JUNK)))
        elif action == "delete":
            del holder[path[-1]]
        elif isinstance(holder, dict):
            key = draw(st.sampled_from(["role", "content", "weight", "name", "type", "tools", "x"]))
            holder[key] = copy.deepcopy(draw(st.sampled_from(JUNK)))
        else:
            holder.append(copy.deepcopy(draw(st.sampled_from([*JUNK, *holder]))))
    return row


@settings(max_examples=600, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("method", list(Method))
def test_what_is_read_without_a_flaw_satisfies_the_schema(method: Method, data: Any) -> None:
    row = mutated(data.draw(st.sampled_from(SEEDS[method])), data.draw)
    reading = RowReader(method, limits_of("openai", method)).read(msgspec.json.encode(row))
    if reading.row is not None:
        assert isinstance(row, dict)
        assert explain_row(row, method) == []
    else:
        assert reading.flaws


def test_the_seeds_are_accepted_on_both_ways() -> None:
    for method, seeds in SEEDS.items():
        for seed in seeds:
            assert validator_of(method).is_valid(seed)
            reader = RowReader(method, limits_of("openai", method))
            assert reader.read(json.dumps(seed).encode()).row is not None


def test_whole_floats_are_whole_numbers() -> None:
    row = {
        "messages": [
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": "b", "weight": 1.0},
        ]
    }
    reading = RowReader(Method.SUPERVISED, limits_of("openai")).read(msgspec.json.encode(row))
    assert reading.row is not None
    assert not reading.flaws

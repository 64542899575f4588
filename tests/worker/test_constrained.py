"""Answers that have to have a form: JSON of a schema, and calls of tools."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import jsonschema
import openai
import pytest
from ftctl_worker.errors import BadRequestError, ModelError
from ftctl_worker.forms import grammar
from ftctl_worker.forms.constraint import Constraints
from ftctl_worker.models.bases import Catalog
from ftctl_worker.models.loading import LoadedBase
from ftctl_worker.serving.chat_request import parse_chat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel as Model
from pydantic import Field
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from tests.worker.mini_model import mini_tokenizer
from tests.worker.servers import Worker

PERSON: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 5},
        "kind": {"enum": ["cat", "dog"]},
        "legs": {"type": "integer", "minimum": 0, "maximum": 4},
    },
    "required": ["name", "kind", "legs"],
    "additionalProperties": False,
}
WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "weather",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"city": {"$ref": "#/$defs/city"}},
            "required": ["city"],
            "additionalProperties": False,
            "$defs": {"city": {"enum": ["Rome", "Bern"]}},
        },
    },
}
NOW: dict[str, Any] = {"type": "function", "function": {"name": "now"}}


def of_schema(schema: dict[str, Any], *, strict: bool = True) -> dict[str, Any]:
    return {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": schema, "strict": strict},
    }


def ask(worker: Worker, **options: Any) -> Any:
    content = options.pop("content", "who is it?")
    return worker.client.chat.completions.create(
        messages=[{"role": "user", "content": content}],
        **{"model": "mini", "temperature": 1, "seed": 3, "max_tokens": 150, **options},
    )


def _objects(children: Any) -> Any:
    names = st.sampled_from(["a", "b", "long name", "naïve", 'quo"te'])
    properties = st.dictionaries(names, children, max_size=3)
    return properties.flatmap(
        lambda found: st.fixed_dictionaries(
            {
                "type": st.just("object"),
                "properties": st.just(found),
                "required": st.just(sorted(found)) if found else st.just([]),
                "additionalProperties": st.just(value=False),
            }
        )
    )


def _arrays(children: Any) -> Any:
    fields = {"type": st.just("array"), "items": children, "maxItems": st.integers(0, 2)}
    return st.fixed_dictionaries(fields)


SCALARS = st.one_of(
    st.builds(lambda most: {"type": "string", "maxLength": most}, st.integers(0, 5)),
    st.builds(
        lambda low, span: {"type": "integer", "minimum": low, "maximum": low + span},
        st.integers(-200, 200),
        st.integers(0, 300),
    ),
    st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"const": "ünïcode"}]),
    st.builds(
        lambda values: {"enum": values},
        st.lists(st.one_of(st.text(max_size=4), st.integers(-9, 9)), min_size=1, max_size=3),
    ),
)
SCHEMAS = st.recursive(
    SCALARS,
    lambda children: st.one_of(
        _objects(children),
        _arrays(children),
        st.builds(lambda one, other: {"anyOf": [one, other]}, children, children),
    ),
    max_leaves=5,
)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(schema=SCHEMAS, temperature=st.sampled_from([0.0, 1.0, 1.9]), seed=st.integers(0, 99))
def test_a_model_that_knows_nothing_answers_by_the_schema(
    worker: Worker, schema: dict[str, Any], temperature: float, seed: int
) -> None:
    answer = ask(
        worker, response_format=of_schema(schema), temperature=temperature, seed=seed
    ).choices[0]
    if answer.finish_reason == "stop":
        jsonschema.validate(json.loads(answer.message.content), schema)
    else:
        assert answer.finish_reason == "length"


def test_any_json_object_is_one(worker: Worker) -> None:
    found = [
        ask(worker, response_format={"type": "json_object"}, seed=seed).choices[0]
        for seed in range(8)
    ]
    whole = [one.message.content for one in found if one.finish_reason == "stop"]
    assert whole
    assert all(isinstance(json.loads(text), dict) for text in whole)


class Animal(Model):
    """What the SDK turns into a strict schema."""

    name: str = Field(max_length=6)
    kind: Literal["cat", "dog"]
    legs: list[Literal[1, 2, 3]] = Field(max_length=2)


@pytest.mark.parametrize("model", ["mini", "tiny"])
def test_the_sdk_parses_an_answer_into_a_model_of_pydantic(worker: Worker, model: str) -> None:
    answer = worker.client.chat.completions.parse(
        model=model,
        messages=[{"role": "user", "content": "a cat"}],
        response_format=Animal,
        max_completion_tokens=120,
        seed=1,
    ).choices[0]
    assert isinstance(answer.message.parsed, Animal)
    assert answer.finish_reason == "stop"


def test_a_tokenizer_that_begins_with_a_space_gives_an_answer_without(worker: Worker) -> None:
    answer = ask(worker, model="tiny", response_format=of_schema(PERSON)).choices[0].message
    assert answer.content.startswith("{")
    jsonschema.validate(json.loads(answer.content), PERSON)


def test_answers_of_a_form_share_a_batch_with_free_ones(worker: Worker) -> None:
    forms: list[dict[str, Any]] = [
        {},
        {"response_format": of_schema(PERSON)},
        {"temperature": 0},
        {"response_format": of_schema({"enum": ["yes", "no"]}), "temperature": 0},
        {"response_format": {"type": "json_object"}, "top_p": 0.8},
    ]
    requests = [{**form, "seed": n, "content": f"question {n}"} for n, form in enumerate(forms * 4)]
    alone = [ask(worker, **one).choices[0].message.content for one in requests]
    with ThreadPoolExecutor(len(requests)) as pool:
        replies = list(pool.map(lambda one: ask(worker, **one), requests))
    assert [reply.choices[0].message.content for reply in replies] == alone
    assert {alone[n] for n in range(3, 20, 5)} <= {'"yes"', '"no"'}


def test_a_stream_says_the_same(worker: Worker) -> None:
    whole = ask(worker, response_format=of_schema(PERSON)).choices[0]
    chunks = list(ask(worker, response_format=of_schema(PERSON), stream=True))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == whole.message.content
    assert len(chunks) > 10
    assert chunks[-1].choices[0].finish_reason == whole.finish_reason == "stop"


def test_too_few_tokens_end_an_answer_by_its_length(worker: Worker) -> None:
    answer = ask(worker, response_format=of_schema(PERSON), max_tokens=12).choices[0]
    assert answer.finish_reason == "length"
    assert answer.message.content.startswith("{")
    whole = ask(worker, response_format=of_schema({"const": 12}), max_tokens=2).choices[0]
    assert (whole.message.content, whole.finish_reason) == ("12", "stop")


def test_a_stop_string_cuts_a_form_too(worker: Worker) -> None:
    answer = ask(worker, response_format=of_schema(PERSON), stop='"kind"').choices[0]
    assert answer.finish_reason == "stop"
    assert '"kind"' not in answer.message.content
    assert answer.message.content.startswith("{")


def test_log_probabilities_are_the_model_s_own(worker: Worker) -> None:
    answer = ask(
        worker,
        response_format=of_schema({"const": "yes"}),
        logprobs=True,
        top_logprobs=2,
    ).choices[0]
    tokens = answer.logprobs.content
    assert "".join(one.token for one in tokens) == answer.message.content == '"yes"'
    # A random model finds what it is made to say improbable.
    assert all(-50 < one.logprob < -1 for one in tokens)
    assert all(len(one.top_logprobs) == 2 for one in tokens)


@pytest.mark.parametrize(
    ("change", "param", "says"),
    [
        ({"response_format": of_schema({"not": {}})}, "response_format", "'answer'.*not"),
        ({"response_format": of_schema({"type": "strin"})}, "response_format", "strin"),
        ({"response_format": of_schema({"pattern": "(?=a)", "type": "string"})},
         "response_format", "look-ahead"),
        ({"response_format": of_schema({"$ref": "#"})}, "response_format", "nothing can satisfy"),
        ({"response_format": "json"}, "response_format", "json_schema"),
        ({"response_format": {"type": "yaml"}}, "response_format", "json_schema"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema", "object"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "a b"}}},
         "response_format.json_schema.name", "letters"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": 1}}},
         "response_format.json_schema.schema", "object"),
        ({"tool_choice": "required"}, "tool_choice", "needs 'tools'"),
        ({"tool_choice": "required", "tools": [NOW]}, "tool_choice", "chat template"),
        ({"tool_choice": {"type": "custom"}, "tools": [NOW]}, "tool_choice", "'required'"),
        ({"tool_choice": {"type": "function", "function": {"name": "x"}}, "tools": [NOW]},
         "tool_choice", "'x'"),
        ({"tool_choice": "required", "tools": [{"type": "custom"}]},
         "tools[0].function.name", "name"),
        ({"tools": [NOW, {"type": "function", "function": {
            "name": "f", "strict": True, "parameters": {"not": {}}}}]},
         "tools[1].function.parameters", "'f'.*not"),
    ],
)  # fmt: skip
def test_what_cannot_be_held_to_is_refused_with_the_reason(
    worker: Worker, change: dict[str, Any], param: str, says: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=says) as caught:
        ask(worker, **change)
    assert caught.value.param == param


def test_what_is_not_strict_is_held_to_as_far_as_it_can_be(worker: Worker) -> None:
    schema = {**PERSON, "not": {"required": ["x"]}}
    answer = ask(worker, response_format=of_schema(schema, strict=False)).choices[0].message
    jsonschema.validate(json.loads(answer.content), PERSON)


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llguidance", None)
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
    with pytest.raises(BadRequestError, match=r"ftctl-worker\[constrained\]") as caught:
        parse_chat({**body, "response_format": {"type": "json_object"}})
    assert caught.value.code == "unsupported_parameter"
    assert parse_chat({**body, "tools": [NOW]}).grammar is None


def calls_of(answer: Any) -> list[tuple[str, Any]]:
    assert answer.finish_reason == "tool_calls"
    calls = answer.message.tool_calls
    return [(one.function.name, json.loads(one.function.arguments)) for one in calls]


def test_a_call_that_is_asked_for_is_made(worker: Worker) -> None:
    tools, options = [WEATHER, NOW], {"model": "caller", "parallel_tool_calls": False}
    made = [
        calls_of(ask(worker, tools=tools, tool_choice="required", seed=seed, **options).choices[0])
        for seed in range(6)
    ]
    assert all(len(calls) == 1 for calls in made)
    assert {name for calls in made for name, _ in calls} == {"weather", "now"}
    for calls in made:
        assert calls == [("now", {})] or calls[0][1]["city"] in {"Rome", "Bern"}
    named = {"type": "function", "function": {"name": "weather"}}
    (call,) = calls_of(ask(worker, tools=tools, tool_choice=named, model="caller").choices[0])
    assert call[0] == "weather"


def test_a_required_call_comes_at_the_end_of_a_stream(worker: Worker) -> None:
    options: dict[str, Any] = {"model": "caller", "tools": [WEATHER], "tool_choice": "required"}
    whole = ask(worker, parallel_tool_calls=False, **options).choices[0]
    chunks = list(ask(worker, stream=True, parallel_tool_calls=False, **options))
    calls = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or ()]
    assert [call.function.arguments for call in calls] == [
        call.function.arguments for call in whole.message.tool_calls
    ]


def test_a_model_may_answer_in_a_form_or_call(worker: Worker) -> None:
    kinds = set()
    for seed in range(12):
        answer = ask(
            worker, model="caller", tools=[WEATHER], response_format=of_schema(PERSON), seed=seed,
            parallel_tool_calls=False,
        ).choices[0]  # fmt: skip
        kinds.add(answer.finish_reason)
        if answer.finish_reason == "stop":
            jsonschema.validate(json.loads(answer.message.content), PERSON)
        else:
            assert calls_of(answer)[0][1]["city"] in {"Rome", "Bern"}
    assert kinds == {"stop", "tool_calls"}


def _metaspace() -> PreTrainedTokenizerFast:
    """A tokenizer as those of SentencePiece are: spaces as a sign, other bytes one by one."""
    names = ["<s>", "</s>", "<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁"]
    names += [*map(chr, range(33, 127)), "▁{", '▁{"']
    vocabulary = {name: number for number, name in enumerate(names)}
    plain = Tokenizer(
        models.BPE(
            vocab=vocabulary,
            merges=[("▁", "{"), ("▁{", '"')],
            byte_fallback=True,
            unk_token="<unk>",
        )
    )
    plain.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    plain.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
         decoders.Strip(" ", 1, 0)]
    )  # fmt: skip
    plain.add_special_tokens(["<s>", "</s>", "<unk>"])
    return PreTrainedTokenizerFast(tokenizer_object=plain, eos_token="</s>")


def _smollm2() -> Any:
    pytest.importorskip("gguf")
    try:
        place = Path(Catalog().resolve("smollm2").location)
    except ModelError as missing:
        pytest.skip(str(missing))
    return AutoTokenizer.from_pretrained(place.parent, gguf_file=place.name)


@pytest.mark.parametrize("kind", ["mini", "tiny", "metaspace", "smollm2"])
def test_every_kind_of_tokenizer_can_be_held_to_a_form(kind: str) -> None:
    makers = {"mini": mini_tokenizer, "metaspace": _metaspace, "smollm2": _smollm2}
    if kind == "tiny":
        tokenizer: Any = AutoTokenizer.from_pretrained(Catalog().resolve("tiny").location)
    else:
        tokenizer = makers[kind]()
    base = LoadedBase(
        model=None, tokenizer=tokenizer, context=9, pad_id=0, folder=None,
        eos_ids=frozenset({tokenizer.eos_token_id}),
    )  # fmt: skip
    constraints = Constraints(base)
    text = '{"name": "é 😀", "kind": "dog",\n  "legs": 4}'
    rule = grammar.of_text(grammar.of_json(PERSON, strict=True))
    right, wrong = constraints.start(rule), constraints.start(rule)
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    for token in ids:
        assert not right.is_complete
        assert not right.forbidden(len(tokenizer))[token]
        right.accept(token)
    assert right.is_complete
    (letter,) = tokenizer("x", add_special_tokens=False)["input_ids"][-1:]
    assert wrong.forbidden(len(tokenizer) + 8)[[letter, tokenizer.eos_token_id, -1]].all()

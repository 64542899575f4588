"""Calls of tools as models of other families write them, whole and cut anywhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ftctl_worker.forms.call_styles import STYLES, style_of
from ftctl_worker.forms.tool_calls import CallReader, split_calls
from ftctl_worker.models.bases import BaseModel
from ftctl_worker.serving.resident import Shelf
from hypothesis import given
from hypothesis import strategies as st

from tests.worker.mini_model import TEMPLATE, build_mini_model, mini_tokenizer
from tests.worker.test_constrained import NOW, PERSON, WEATHER, of_schema
from tests.worker.test_seats import Asking

SIGNS = {
    "hermes": "in <tool_call></tool_call> tags",
    "mistral": "{{ '[TOOL_CALLS]' + 'name' + '[ARGS]' }}",
    "mistral-list": "{{ '[TOOL_CALLS] [' }}",
    "phi": "<|tool|>{{ tools }}<|/tool|>",
    "granite": "respond with <|tool_call|> followed by a JSON list",
    "function": "<function=name>{...}</function>",
    "llama": 'Respond with {"name": name, "parameters": dictionary of argument name and its value}',
}
WRITTEN = {
    "hermes": '<tool_call>\n{"name": "f", "arguments": {"a": "ü"}}\n</tool_call>\n'
    '<tool_call>{"name": "g"}',
    "mistral": '[TOOL_CALLS]f[ARGS]{"a": "ü"}[TOOL_CALLS] g[CALL_ID]x1 [ARGS] {}',
    "mistral-list": '[TOOL_CALLS] [{"name": "f", "arguments": {"a": "ü"}, "id": "x1"},'
    '{"name": "g", "arguments": {}}]',
    "phi": 'functools[{"name": "f", "arguments": {"a": "ü"}}, {"name": "g", "arguments": {}}]',
    "granite": '<|tool_call|>[{"name": "f", "arguments": {"a": "ü"}}, {"name": "g"}]',
    "function": '<function=f>{"a": "ü"}</function><function=g>{}</function>',
    "llama": '{"name": "f", "parameters": {"a": "ü"}}; {"name": "g", "parameters": {}}',
}
EXPECTED = [("f", '{"a": "ü"}'), ("g", "{}")]
PIECES = st.sampled_from(
    ["Sure.", " ", "\n", "{", "}", "<", "[", "é", '{"name": "f"}', "{}", "f[ARGS]", "</tool_call>"]
    + [opening for style in STYLES.values() for opening in style.openings]
    + list(WRITTEN.values())
)


def functions(calls: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(one["function"]["name"], one["function"]["arguments"]) for one in calls]


@pytest.mark.parametrize("name", STYLES)
def test_a_template_says_how_calls_are_written(name: str) -> None:
    tokenizer = mini_tokenizer()
    assert style_of(tokenizer) is None
    tokenizer.chat_template = SIGNS[name] + TEMPLATE
    style = style_of(tokenizer)
    assert style is not None
    assert style.name == name
    said, calls = split_calls(WRITTEN[name], style, {"f", "g"})
    assert (said, functions(calls)) == ("", EXPECTED)
    if name != "llama":
        said, calls = split_calls(f"Sure.\n{WRITTEN[name]}", style)
        assert (said, functions(calls)) == ("Sure.", EXPECTED)


@given(style=st.sampled_from(sorted(STYLES)), pieces=st.lists(PIECES, max_size=6), data=st.data())
def test_wherever_the_stream_is_cut_the_same_comes_out(
    style: str, pieces: list[str], data: st.DataObject
) -> None:
    text = "".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    reader = CallReader(STYLES[style], {"f", "g"})
    parts = zip([0, *cuts], [*cuts, len(text)], strict=True)
    streamed = "".join(reader.feed(text[start:end]) for start, end in parts)
    rest, calls = reader.end()
    whole, expected = split_calls(text, STYLES[style], {"f", "g"})
    assert (streamed + rest, functions(calls)) == (whole, functions(expected))
    assert text.startswith(streamed)
    if not calls:
        assert whole == text
    # What was sent already holds no part of a call.
    assert not any(one and one in streamed for one in STYLES[style].openings)


@pytest.mark.parametrize(
    ("style", "text"),
    [
        *(("hermes", text) for text in ("<tool_call>{</tool_call>", "<tool_call>[1]</tool_call>")),
        ("hermes", '<tool_call>{"name": "f"} and so on</tool_call>'),
        ("hermes", '{"name": "f"}'),
        ("mistral", "[TOOL_CALLS]f[ARGS]"),
        ("mistral-list", "[TOOL_CALLS] []"),
        ("llama", '{"name": "h", "parameters": {}}'),
        ("llama", '{"city": "Rome"}'),
        ("llama", 'It is {"name": "f", "parameters": {}}'),
        ("llama", '{"name": "f", "parameters": {}} is the call'),
        ("llama", ""),
    ],
)
def test_what_is_no_call_stays_text(style: str, text: str) -> None:
    assert split_calls(text, STYLES[style], {"f"}) == (text, [])


def test_one_call_is_kept_where_several_are_not_wanted() -> None:
    reader = CallReader(STYLES["hermes"], several=False)
    reader.feed(WRITTEN["hermes"])
    assert functions(reader.end()[1]) == EXPECTED[:1]


@pytest.mark.parametrize("name", STYLES)
def test_calls_that_are_asked_for_are_written_as_the_model_does(name: str, tmp_path: Path) -> None:
    """Also where what begins a call is a special token, which is no text otherwise."""
    style = STYLES[name]
    build_mini_model(
        tmp_path / "m", template=SIGNS[name] + TEMPLATE, context=2048, special=style.special
    )
    base = BaseModel(name="m", kind="folder", location=str(tmp_path / "m"))
    asking = Asking(Shelf(cache=tmp_path, threads=1, precision="fp32"), base)
    options: dict[str, Any] = {"tools": [WEATHER, NOW], "temperature": 1.5, "max_tokens": 500}
    options["seed"] = 5
    questions = [(f"question {number}", None) for number in range(8)]
    texts, ends = asking(*questions, **options, tool_choice="required", parallel_tool_calls=False)
    assert texts == [""] * 8
    assert all(len(end.calls) == 1 for end in ends)
    several, finished = asking(*questions, **options, tool_choice="required")[1], []
    assert all(end.calls for end in several if end.finish_reason == "stop")
    for end in (*ends, *several):
        finished += functions(list(end.calls))
    for tool, arguments in finished:
        given = json.loads(arguments)
        assert given == {} if tool == "now" else given["city"] in {"Rome", "Bern"}
    assert len(finished) >= 16
    texts, ends = asking(*questions, **options, response_format=of_schema(PERSON))
    for text, end in zip(texts, ends, strict=True):
        if not end.calls and end.finish_reason == "stop":
            jsonschema.validate(json.loads(text), PERSON)
    assert any(asking(*questions, **options)[0])

"""The Responses API over the same models, through OpenAI's own client."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from ftctl_worker.serving.chat_request import parse_chat
from ftctl_worker.serving.response_request import parse_response
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from tests.worker.servers import Worker
from tests.worker.test_chat import ask
from tests.worker.test_constrained import PERSON, WEATHER, Animal

EVENT: Any = TypeAdapter(ResponseStreamEvent)
TOOL: Any = {"type": "function", **WEATHER["function"]}


def respond(worker: Worker, **options: Any) -> Any:
    given = {"model": "mini", "input": "colour of sky 3", "temperature": 0, "max_output_tokens": 12}
    return worker.client.responses.create(**{**given, **options})


def test_it_says_what_a_chat_says(worker: Worker, tuned_job: Any) -> None:
    chat = ask(worker, tuned_job.fine_tuned_model)
    answer = respond(worker, model=tuned_job.fine_tuned_model, metadata={"a": "b"})
    assert answer.output_text == chat.choices[0].message.content
    assert (answer.status, answer.metadata, answer.store) == ("completed", {"a": "b"}, False)
    assert answer.usage.total_tokens == chat.usage.total_tokens
    cut = respond(worker)
    assert (cut.status, cut.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    likely = respond(worker, include=["message.output_text.logprobs"], top_logprobs=2)
    tokens = likely.output[0].content[0].logprobs
    assert [len(one.top_logprobs) for one in tokens] == [2] * 12


def raw_events(worker: Worker, **options: Any) -> list[Any]:
    """Return the events as they are written, each looked at by the SDK's own types."""
    body = {"input": "who is it?", "stream": True, "model": "mini", **options}
    headers = {"Authorization": f"Bearer {worker.client.api_key}"}
    with worker.http.stream("POST", f"{worker.url}/responses", json=body, headers=headers) as got:
        lines = [line for line in got.iter_lines() if line]
    names, data = lines[::2], [json.loads(line.removeprefix("data: ")) for line in lines[1::2]]
    assert names == [f"event: {one['type']}" for one in data]
    assert [one["sequence_number"] for one in data] == list(range(len(data)))
    return [EVENT.validate_python(one) for one in data]


def test_a_stream_of_text_has_the_documented_order(worker: Worker) -> None:
    events = raw_events(worker, max_output_tokens=12, temperature=0, top_logprobs=1)
    kinds = [event.type.removeprefix("response.") for event in events]
    said = kinds.count("output_text.delta")
    assert kinds == [
        *("created", "in_progress", "output_item.added", "content_part.added"),
        *["output_text.delta"] * said,
        *("output_text.done", "content_part.done", "output_item.done", "incomplete"),
    ]
    final = events[-1].response
    assert "".join(one.delta for one in events[4 : 4 + said]) == final.output_text
    assert final.output_text == respond(worker, input="who is it?").output_text
    assert events[-2].item.to_dict() == final.output[0].to_dict()


def test_a_stream_of_calls_has_the_documented_order(worker: Worker) -> None:
    events = raw_events(
        worker, model="caller", tools=[TOOL], tool_choice="required", max_output_tokens=300,
        parallel_tool_calls=False,
    )  # fmt: skip
    kinds = [event.type.removeprefix("response.") for event in events]
    called = "function_call_arguments"
    assert kinds == [
        *("created", "in_progress", "output_item.added", f"{called}.delta", f"{called}.done"),
        *("output_item.done", "completed"),
    ]
    (call,) = events[-1].response.output
    assert call.arguments == events[3].delta == events[4].arguments
    assert json.loads(call.arguments)["city"] in {"Rome", "Bern"}


@pytest.mark.parametrize("seed", range(3))
def test_the_sdk_streams_and_parses(worker: Worker, seed: int) -> None:
    options: Any = {"model": "mini", "input": f"a cat {seed}", "max_output_tokens": 150}
    assert isinstance(
        worker.client.responses.parse(text_format=Animal, **options).output_parsed, Animal
    )
    with worker.client.responses.stream(text_format=Animal, **options) as stream:
        text = "".join(one.delta for one in stream if one.type == "response.output_text.delta")
        final = stream.get_final_response()
    assert isinstance(final.output_parsed, Animal)
    assert Animal.model_validate_json(text) == final.output_parsed


def test_a_conversation_with_calls_is_the_chat_that_means_the_same() -> None:
    response = parse_response(
        {
            "model": "m",
            "instructions": "Be brief.",
            "input": [
                {"role": "user", "content": [{"type": "input_text", "text": "Rome?"}]},
                {"type": "message", "role": "assistant", "id": "msg_1", "status": "completed",
                 "content": [{"type": "output_text", "text": "Wait.", "annotations": []}]},
                {"type": "function_call", "call_id": "c1", "name": "weather",
                 "arguments": '{"city": "Rome"}', "id": "fc_1", "status": "completed"},
                {"type": "function_call", "call_id": "c2", "name": "weather", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c1", "output": "sun"},
                {"type": "function_call_output", "call_id": "c2",
                 "output": [{"type": "input_text", "text": "rain"}]},
            ],
            "tools": [{**TOOL, "strict": False}],
            "tool_choice": "auto",
            "text": {"format": {"type": "json_schema", "name": "p", "schema": PERSON}},
            "max_output_tokens": 9,
            "reasoning": {"effort": "low"},
            "store": False,
        }
    )  # fmt: skip
    function = {**WEATHER["function"], "strict": False, "type": "function"}
    calls = [
        {"id": name, "type": "function", "function": {"name": "weather", "arguments": arguments}}
        for name, arguments in (("c1", '{"city": "Rome"}'), ("c2", "{}"))
    ]
    assert response == parse_chat(
        {
            "model": "m",
            "messages": [
                {"role": "developer", "content": "Be brief."},
                {"role": "user", "content": "Rome?"},
                {"role": "assistant", "content": "Wait.", "tool_calls": calls},
                {"role": "tool", "tool_call_id": "c1", "content": "sun"},
                {"role": "tool", "tool_call_id": "c2", "content": "rain"},
            ],
            "tools": [{"type": "function", "function": function}],
            "response_format": {
                "type": "json_schema", "json_schema": {"name": "p", "schema": PERSON},
            },
            "max_tokens": 9,
        }
    )  # fmt: skip


@pytest.mark.parametrize(
    ("change", "param", "says"),
    [
        ({"store": True}, "store", "nothing is stored"),
        ({"previous_response_id": "resp_1"}, "previous_response_id", "whole conversation"),
        ({"background": True}, "background", "waits"),
        ({"truncation": "auto"}, "truncation", "as short as"),
        ({"input": []}, "input", "list of items"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, r"input[0]", "function_call"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]},
         "input[0].content", "Only text"),
        ({"input": [{"type": "function_call", "name": "f"}]}, "input[0]", "call_id"),
        ({"max_output_tokens": 0}, "max_output_tokens", "'max_output_tokens'"),
        ({"instructions": 5}, "instructions", "string"),
        ({"text": {"format": {"type": "json_schema", "name": "a b"}}},
         "text.format.name", r"'text\.format\.name'"),
        ({"text": {"format": {"type": "yaml"}}}, "text.format", r"'text\.format'"),
        ({"text": "json"}, "text", "object"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].name", "'function'"),
        ({"tools": [TOOL], "tool_choice": "required"}, "tool_choice", "chat template"),
        ({"input": "x" * 300}, "input", "maximum context"),
        ({"input": "x" * 300, "stream": True}, "input", "maximum context"),
    ],
)  # fmt: skip
def test_what_it_cannot_do_is_refused_by_name(
    worker: Worker, change: dict[str, Any], param: str, says: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=says) as caught:
        respond(worker, **change)
    assert caught.value.param == param


def test_nothing_is_kept(worker: Worker) -> None:
    made = respond(worker, input="a word that is a canary")
    ask(worker, "mini", "a word that is a canary")
    files = [worker.log, *(file for file in worker.home.rglob("*") if file.is_file())]
    assert not [file for file in files if b"canary" in file.read_bytes()]
    with pytest.raises(openai.NotFoundError, match="stores no responses"):
        worker.client.responses.retrieve(made.id)

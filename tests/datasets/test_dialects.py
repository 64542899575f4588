"""Records as their owners publish them: seen for what they are, converted, and every loss named."""

from __future__ import annotations

import copy
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.datasets.checking.validation import validate
from orchestrator.datasets.converting import convert_file
from orchestrator.datasets.dialects.conversion import Options, convert_record
from orchestrator.datasets.dialects.detecting import detect
from orchestrator.datasets.dialects.dialects import DIALECTS, PREFERENCES
from orchestrator.datasets.files.tabular import Templates
from orchestrator.domain.errors import DatasetInvalid, UsageError
from orchestrator.domain.jobs.job import Method

DATA = Path(__file__).parents[1] / "data" / "datasets"
ZOO = json.loads((DATA / "format_zoo.json").read_text())["records"]
Q, A, B = "What is 2+2?", "4", "5"
HUMAN = {"from": "human", "value": Q}
GPT = {"from": "gpt", "value": A}
USER, ANSWER, WORSE = (
    {"role": "user", "content": Q},
    {"role": "assistant", "content": A},
    {"role": "assistant", "content": B},
)
PLAIN = [USER, ANSWER]
ADD = {"name": "add", "description": "Adds.", "parameters": {"type": "object"}}
CALLED = '{"name": "add", "arguments": {"a": 2}}'
ASKED = f"\n\nHuman: {Q}\n\nAssistant:"

CHOICES = {"choices": [{"message": ANSWER, "finish_reason": "stop"}]}
OUTPUT_TEXT = {"type": "output_text", "text": A, "annotations": []}
HUMAN_TYPE = {"type": "human", "content": Q}
RENDERED = "text.rendered"


def said(role: str, text: str) -> dict[str, Any]:
    return {"author": {"role": role}, "content": {"content_type": "text", "parts": [text]}}


#: The record, its dialect, and what it loses; those with no loss become PLAIN or start with it.
PLAIN_ONES: list[tuple[Any, str, list[str]]] = [
    ({"conversation": [HUMAN, GPT]}, "sharegpt", []),
    ({"items": [HUMAN, GPT]}, "sharegpt", []),
    ({"conversation": PLAIN, "redacted": False}, "sharegpt", ["redacted"]),
    ({"conversation": [{**USER, "toxic": False}, ANSWER]}, "sharegpt", ["toxic"]),
    ({"conversations": [HUMAN, GPT], "source": "x", "idx": None}, "sharegpt", ["source"]),
    ({"conversations": [Q, A]}, "alternating", []),
    ({"id": "7", "data": [Q, A]}, "alternating", ["id"]),
    ({"instruction": Q, "context": "", "response": A, "category": "qa"}, "alpaca", ["category"]),
    ({"instruction": Q, "input": "", "output": A, "text": "all of it"}, "alpaca", ["text"]),
    ({"query": Q, "response": A}, "pairs", []),
    ({"inputs": Q, "targets": A}, "pairs", []),
    ({"input_text": Q, "output_text": A}, "pairs", []),
    ({"text_input": Q, "output": A}, "pairs", []),
    ({"prompt": ASKED, "completion": f" {A}"}, "transcript.completion", []),
    ({"input": [USER], "output": ANSWER}, "input_output", []),
    ({"input": [USER], "output": [ANSWER], "metadata": {"a": 1}}, "input_output", ["metadata"]),
    ({"chat_history": [], "message": Q, "response": A}, "cohere.chat", []),
    ({"messages": [USER, {"role": "Chatbot", "content": A}]}, "openai.chat", []),
    ({"messages": [{**USER, "weight": 0}, {**ANSWER, "training": True}]}, "openai.chat", []),
    ({"messages": [USER, {**ANSWER, "reasoning_content": "Add."}]}, "openai.chat", ["reasoning"]),
    ({"messages": [{**USER, "train": True}, ANSWER]}, "openai.chat", ["training on a user"]),
    ({"messages": PLAIN, "prompt_filter_results": []}, "openai.chat", []),
    ({"messages": PLAIN, "kto_tag": True}, "kto", ["the label"]),
    ({"prompt": Q, "completion": A, "label": True}, "trl.unpaired", ["the label"]),
    (
        {
            "contents": [
                {"role": "user", "parts": [{"text": Q}]},
                {"role": "model", "parts": [{"text": A}]},
            ],
            "generationConfig": {"temperature": 0},
        },
        "gemini.vertex",
        ["generationConfig"],
    ),
    (
        {
            "message_tree_id": "1",
            "prompt": {
                "role": "prompter",
                "text": Q,
                "replies": [
                    {"role": "assistant", "text": B, "rank": 1, "replies": []},
                    {
                        "role": "assistant",
                        "text": A,
                        "rank": 0,
                        "replies": [{"role": "prompter", "text": "Thanks!", "replies": []}],
                    },
                ],
            },
        },
        "oasst.tree",
        ["the other replies", "a question without a reply"],
    ),
    ({"input": {"messages": [USER]}, "output": ANSWER, "id": "1"}, "input_output", ["id"]),
    ({"input": [USER], "output": A}, "input_output", []),
    (
        {"request_body": {"messages": [USER], "seed": 1}, "response_body": {**CHOICES, "id": "1"}},
        "input_output",
        ["seed of the request", "id of the answer"],
    ),
    ({"inputs": {"messages": [USER]}, "outputs": CHOICES}, "input_output", []),
    ({"messages": [USER], "response": CHOICES}, "input_output", []),
    ({"model": "x", "messages": [USER], "message": ANSWER}, "input_output", ["model"]),
    ({"input": [USER], **CHOICES, "object": "chat.completion"}, "input_output", ["object"]),
    (
        {
            "input": {"inputBodyJson": {"messages": [{"role": "user", "content": [{"text": Q}]}]}},
            "output": {
                "outputBodyJson": {
                    "output": {"message": {"role": "assistant", "content": [{"text": A}]}}
                }
            },
        },
        "input_output",
        [],
    ),
    (
        {
            "request": {"contents": [{"role": "user", "parts": [{"text": Q}]}]},
            "response": {"candidates": [{"content": {"role": "model", "parts": [{"text": A}]}}]},
        },
        "input_output",
        [],
    ),
    (
        {
            "object": "response",
            "input": Q,
            "output": [
                {"type": "reasoning", "summary": []},
                {"type": "message", "role": "assistant", "content": [OUTPUT_TEXT]},
            ],
        },
        "input_output",
        ["object", "reasoning"],
    ),
    ({"conversation": [{"input": Q, "output": A, "n": 1}]}, "exchanges", ["n of an exchange"]),
    ({"input": [USER], "ideal": [A]}, "openai.evals_ideal", []),
    ({"messages": [HUMAN_TYPE, {"type": "ai", "content": A}]}, "langchain", []),
    (
        {"messages": [{"type": "human", "data": {"content": Q}}, {"type": "ai", "content": A}]},
        "langchain",
        [],
    ),
    (
        {
            "inputs": {"messages": [[{"type": "constructor", "kwargs": HUMAN_TYPE}]]},
            "outputs": {"generations": [[{"message": {"type": "ai", "content": A}}]]},
        },
        "input_output",
        [],
    ),
    (
        {
            "title": "Sum",
            "mapping": {
                "0": {"message": None, "parent": None, "children": ["1"]},
                "1": {"message": said("user", Q), "parent": "0", "children": ["2", "3"]},
                "2": {"message": said("assistant", B), "parent": "1", "children": []},
                "3": {"message": said("assistant", A), "parent": "1", "children": []},
            },
            "current_node": "3",
        },
        "chatgpt.export",
        ["title", "other branches"],
    ),
    (
        {
            "uuid": "1",
            "chat_messages": [{"sender": "human", "text": Q}, {"sender": "assistant", "text": A}],
        },
        "claude.export",
        ["uuid"],
    ),
    ({"text": f"<|im_start|>user\n{Q}<|im_end|>\n<|im_start|>assistant\n{A}"}, RENDERED, []),
    ({"text": f"<s>[INST] {Q} [/INST] {A} </s>", "n": 1}, RENDERED, ["n"]),
    ({"text": f"### Human: {Q}### Assistant: {A}"}, RENDERED, []),
    (
        {"text": f"<start_of_turn>user\n{Q}<end_of_turn>\n<start_of_turn>model\n{A}<end_of_turn>"},
        RENDERED,
        [],
    ),
    (
        {"text": f"<｜begin▁of▁sentence｜><｜User｜>{Q}<｜Assistant｜>{A}<｜end▁of▁sentence｜>"},
        RENDERED,
        [],
    ),
    ({"text": f"<|prompter|>{Q}<|endoftext|><|assistant|>{A}<|endoftext|>"}, RENDERED, []),
    (
        {
            "text": "".join(
                f"<|start_of_role|>{role}<|end_of_role|>{said}<|end_of_text|>\n"
                for role, said in (("user", Q), ("assistant", A))
            )
        },
        RENDERED,
        [],
    ),
    (
        {
            "text": "<BOS_TOKEN>"
            + "".join(
                f"<|START_OF_TURN_TOKEN|><|{role}_TOKEN|>{said}<|END_OF_TURN_TOKEN|>"
                for role, said in (("USER", Q), ("CHATBOT", A))
            )
        },
        RENDERED,
        [],
    ),
    (
        {
            "text": "<|begin_of_text|>"
            + "".join(
                f"<|header_start|>{role}<|header_end|>\n\n{said}<|eot|>"
                for role, said in (("user", Q), ("assistant", A))
            )
        },
        RENDERED,
        [],
    ),
]

PAIRS: list[tuple[Any, str, list[str]]] = [
    ({"input": Q, "chosen": A, "rejected": B}, "trl.preference", []),
    (
        {"context": [USER], "response1": A, "response2": B, "overall_preference": -2},
        "compared",
        [],
    ),
    (
        {"question": Q, "answers": [{"text": A, "pm_score": 5}, {"text": B, "pm_score": 0}]},
        "ranked",
        [],
    ),
    ({"instruction": Q, "input": "", "chosen": A, "rejected": B}, "trl.preference", []),
    ({"question": Q, "chosen": A, "rejected": B}, "trl.preference", []),
    ({"prompt": Q, "chosen": PLAIN, "rejected": [USER, WORSE]}, "trl.preference", []),
    (
        {"prompt": Q, "chosen": PLAIN, "rejected": [USER, WORSE], "messages": PLAIN, "score": 1.0},
        "trl.preference",
        ["score"],
    ),
    ({"chosen": f"{ASKED} {A}", "rejected": f"{ASKED} {B}"}, "transcript.preference", []),
    (
        {
            "conversation_a": [USER, WORSE],
            "conversation_b": PLAIN,
            "winner": "model_b",
            "model_a": "x",
        },
        "arena",
        ["model_a"],
    ),
    (
        {"prompt": Q, "answers": [{"answer": B, "rank": 2.0}, {"answer": A, "rank": 1.0}]},
        "ranked",
        [],
    ),
    (
        {
            "prompt": f"{ASKED} ",
            "answers": [{"answer": each, "rank": rank} for rank, each in enumerate((A, "four", B))],
        },
        "ranked",
        ["between the best and the worst"],
    ),
    (
        {
            "instruction": Q,
            "completions": [
                {"response": B, "overall_score": 2},
                {"response": A, "overall_score": 9.5},
            ],
        },
        "ranked",
        [],
    ),
    (
        {"prompt": Q, "response_0": B, "response_1": A, "better_response_id": 1, "safer": 0},
        "compared",
        ["safer"],
    ),
    ({"history": Q, "human_ref_A": A, "human_ref_B": B, "labels": 1}, "compared", []),
    ({"messages": PLAIN, "rejected_message": WORSE}, "messages.rejected", []),
    ({"messages": PLAIN, "rejected_response": B}, "messages.rejected", []),
]

CALLS: list[tuple[Any, str]] = [
    (
        {
            "conversations": [
                HUMAN,
                {"from": "gpt", "value": f"<tool_call>\n{CALLED}\n</tool_call>"},
                {"from": "tool", "value": "<tool_response>\n4\n</tool_response>"},
                GPT,
            ],
            "tools": json.dumps([ADD]),
        },
        "sharegpt.hermes",
    ),
    (
        {
            "conversations": [
                HUMAN,
                {
                    "from": "gpt",
                    "value": "<tool_call>{'name': 'add', 'arguments': {'a': 2}}</tool_call>",
                },
                {"from": "tool", "value": "4"},
                GPT,
            ],
            "tools": [{"type": "function", "function": ADD}],
        },
        "sharegpt.hermes",
    ),
    (
        {
            "system": f"SYSTEM: You have functions -\n{json.dumps(ADD, indent=4)}\n",
            "chat": f'USER: {Q}\n\n\nASSISTANT: <functioncall> {{"name": "add", "arguments": '
            f"'{{\"a\": 2}}'}} <|endoftext|>\n\n\nFUNCTION RESPONSE: 4\n\n\n"
            f"ASSISTANT: {A} <|endoftext|>\n\n\n",
        },
        "glaive",
    ),
    (
        {
            "schemaVersion": "bedrock-conversation-2024",
            "messages": [
                {"role": "user", "content": [{"text": Q}]},
                {
                    "role": "assistant",
                    "content": [{"toolUse": {"toolUseId": "1", "name": "add", "input": {"a": 2}}}],
                },
                {
                    "role": "user",
                    "content": [{"toolResult": {"toolUseId": "1", "content": [{"text": A}]}}],
                },
                {"role": "assistant", "content": [{"text": A}]},
            ],
            "toolConfig": {
                "tools": [
                    {
                        "toolSpec": {
                            "name": "add",
                            "description": "Adds.",
                            "inputSchema": {"json": {"type": "object"}},
                        }
                    }
                ]
            },
        },
        "bedrock.conversation",
    ),
    (
        {
            "input": [
                USER,
                {"type": "function_call", "call_id": "1", "name": "add", "arguments": '{"a": 2}'},
                {"type": "function_call_output", "call_id": "1", "output": A},
            ],
            "output": [{"type": "message", "role": "assistant", "content": [OUTPUT_TEXT]}],
            "tools": [{"type": "function", **ADD}],
        },
        "input_output",
    ),
]

REFUSED: list[tuple[Any, str]] = [
    ({"text": "great", "label": "good"}, "text.label"),
    ({"text": "great", "label": 1}, "text.label"),
    ({"segments": [{"label": True, "text": "4"}]}, "axolotl.segments"),
    ({"message_id": "1", "parent_id": None, "role": "prompter", "text": Q}, "oasst.message"),
    ({"custom_id": "1", "method": "POST", "body": {"messages": [USER]}}, "openai.batch"),
    ({"custom_id": "1", "response": {"body": CHOICES}}, "openai.answer"),
    ({"id": "1", **CHOICES}, "openai.answer"),
    (
        {"messages": [USER], **CHOICES, "choices": [{"message": ANSWER}, {"message": WORSE}]},
        "input_output",
    ),
    (
        {
            "messages": [USER],
            "response": {"choices": [{"message": ANSWER, "finish_reason": "length"}]},
        },
        "input_output",
    ),
    ({"input": [USER], "ideal": [A, B]}, "openai.evals_ideal"),
    ({"type": "message", "user": "U1", "text": Q, "ts": "1.0"}, "messenger"),
    ({"guild": {}, "channel": {}, "messages": [{"author": {}, "content": Q}]}, "messenger"),
]


def names(entry: Any) -> str:
    return f"{entry}"[:50]


def losses_of(record: Any, method: Method = Method.SUPERVISED) -> str:
    return "; ".join(convert_record(record, Options(method=method, allow_loss=True)).losses)


@pytest.mark.parametrize(("record", "dialect", "lost"), PLAIN_ONES, ids=names)
def test_a_published_shape_becomes_a_row(record: Any, dialect: str, lost: list[str]) -> None:
    assert detect(record) == dialect
    made = convert_record(record, Options(allow_loss=True))
    assert made.row is not None, made.refusal
    assert made.row["messages"] == PLAIN
    assert all(each in losses_of(record) for each in lost)
    assert bool(convert_record(record, Options()).refusal) == bool(lost)


@pytest.mark.parametrize(("record", "dialect", "lost"), PAIRS, ids=names)
def test_two_answers_become_a_pair(record: Any, dialect: str, lost: list[str]) -> None:
    assert detect(record) == dialect
    assert dialect in PREFERENCES
    made = convert_record(record, Options(method=Method.DPO, allow_loss=True))
    assert made.row == {
        "input": {"messages": [USER]},
        "preferred_output": [ANSWER],
        "non_preferred_output": [WORSE],
    }
    assert all(each in losses_of(record, Method.DPO) for each in lost)
    assert bool(convert_record(record, Options(method=Method.DPO)).refusal) == bool(lost)
    assert "the rejected answer" in losses_of(record)


@pytest.mark.parametrize(("record", "dialect"), CALLS, ids=names)
def test_calls_inside_texts_become_calls(record: Any, dialect: str) -> None:
    assert detect(record) == dialect
    made = convert_record(record, Options())
    assert made.row is not None, made.refusal
    called, replied, answer = made.row["messages"][-3:]
    (call,) = called["tool_calls"]
    assert json.loads(call["function"]["arguments"]) == {"a": 2}
    assert replied == {"role": "tool", "tool_call_id": call["id"], "content": A}
    assert answer == ANSWER
    assert made.row["tools"] == [{"type": "function", "function": ADD}]
    row = json.dumps(made.row).encode()
    assert not validate(io.BytesIO(row), target="peft").findings


@pytest.mark.parametrize(
    "record",
    [
        {"system_prompt": "Be kind.", "messages": PLAIN},
        {"system_prompt": "Be kind.", "input": [USER], "output": A},
        {"text": f"<｜begin▁of▁sentence｜>Be kind.<｜User｜>{Q}<｜Assistant｜>{A}"},
        {"text": f"Be kind.\n### Human: {Q}### Assistant: {A}"},
    ],
)
def test_what_a_system_says_beside_the_turns_comes_first(record: Any) -> None:
    made = convert_record(record, Options())
    assert made.row is not None, made.refusal
    assert made.row["messages"] == [{"role": "system", "content": "Be kind."}, *PLAIN]


def test_python_types_become_a_schema() -> None:
    given = {"a": {"type": "int", "description": "One."}, "b": {"type": "List[int], optional"}}
    tools = json.dumps([{"name": "add", "description": "Adds.", "parameters": given}])
    record = {"query": Q, "tools": tools, "answers": f"[{CALLED}]"}
    assert detect(record) == "xlam"
    made = convert_record(record, Options())
    assert made.row is not None, made.refusal
    properties = {"a": {"description": "One.", "type": "integer"}, "b": {"type": "array"}}
    schema = {"type": "object", "properties": properties, "required": ["a"]}
    assert made.row["tools"][0]["function"]["parameters"] == schema
    assert not validate(io.BytesIO(json.dumps(made.row).encode()), target="peft").findings


@pytest.mark.parametrize(("record", "dialect"), REFUSED, ids=names)
def test_what_has_no_answer_is_refused_by_its_name(record: Any, dialect: str) -> None:
    assert detect(record) == dialect
    made = convert_record(record, Options(allow_loss=True))
    assert made.row is None
    assert made.dialect == dialect


JUNK: list[Any] = [None, True, 0, 0.5, "", "x", [], {}, ["x"], {"a": 1}, [None], [[]], "{}", "[1]"]


def damaged(value: Any, draw: Any) -> Any:
    """A record with something else in one or two places."""
    value = json.loads(json.dumps(value))
    for _ in range(draw(st.integers(1, 2))):
        holder, steps = value, draw(st.integers(1, 4))
        for depth in range(steps):
            if not isinstance(holder, dict | list) or not holder:
                break
            keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
            key = draw(st.sampled_from(keys))
            if depth == steps - 1:
                holder[key] = copy.deepcopy(draw(st.sampled_from(JUNK)))
            else:
                holder = holder[key]
    return value


@settings(max_examples=500, deadline=None)
@given(data=st.data())
def test_no_record_raises_whatever_it_is(data: st.DataObject) -> None:
    record = damaged(data.draw(st.sampled_from(EVERY)), data.draw)
    before = json.dumps(record)
    for method in (Method.SUPERVISED, Method.DPO):
        options = Options(method=method, allow_loss=True, system="Be brief.")
        made = convert_record(record, options)
        assert json.dumps(record) == before, "the record was changed on the way"
        assert (made.row is None) == bool(made.refusal)
        assert json.dumps(made.row)
        validate(io.BytesIO(before.encode()), method=method, count_tokens=False)


EVERY = [entry["record"] for entry in ZOO]
EVERY += [entry[0] for entry in (*PLAIN_ONES, *PAIRS, *CALLS)]


@pytest.mark.parametrize("method", [Method.SUPERVISED, Method.DPO])
@pytest.mark.parametrize("record", EVERY, ids=names)
def test_a_key_that_nobody_knows_is_a_loss(record: Any, method: Method) -> None:
    options = Options(method=method, allow_loss=True, dialect=detect(record))
    made = convert_record({**record, "nobody_knows": "it"}, options)
    if made.row is not None and detect(record) != "openai.dpo":
        assert "nobody_knows" in "; ".join(made.losses)


@pytest.mark.parametrize("record", EVERY, ids=names)
def test_an_answer_that_is_not_wanted_is_never_learned(record: Any) -> None:
    for dialect in (None, detect(record)):
        options = Options(allow_loss=True, dialect=dialect)
        assert convert_record({**record, "kto_tag": False}, options).row is None
    if detect(record) in {"kto", "trl.unpaired"}:
        assert convert_record({**record, "label": False}, Options(allow_loss=True)).row is None


@pytest.mark.parametrize("record", EVERY, ids=names)
def test_what_is_told_of_a_foreign_row_can_be_done(record: Any, tmp_path: Path) -> None:
    """The mend of `foreign-dialect` is a command that works, or says that there is none."""
    for method in (Method.SUPERVISED, Method.DPO):
        line = io.BytesIO(json.dumps(record).encode())
        findings = validate(line, target="peft", method=method).findings
        if [each.code for each in findings] != ["foreign-dialect"]:
            continue
        (finding,) = findings
        if not finding.fix.startswith("ftctl convert FILE --from"):
            options = Options(method=method, allow_loss=True)
            assert convert_record(record, options).row is None
            continue
        dialect = finding.fix.split()[4]
        options = Options(method=method, dialect=dialect, allow_loss=True)
        assert dialect in DIALECTS
        made = convert_record(record, options)
        assert made.row is not None or record in _NEVER


# Shapes whose dialect can be converted, though not these records.
_NEVER: list[Any] = []


def test_a_class_is_asked_for_by_a_mapping(tmp_path: Path) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text('{"data": {"text": "great"}, "choices": [["good"]]}\n')
    templates = Templates("{data.text}", "{choices.0.0}")
    convert_file(source, out, Options(), templates=templates)
    messages = json.loads(out.read_text())["messages"]
    assert [each["content"] for each in messages] == ["great", "good"]
    with pytest.raises(UsageError, match=r"no column 'data.label'; there are: data, choices"):
        convert_file(source, out, Options(), templates=Templates("{data.label}", "x"), force=True)


def test_a_row_that_is_no_example_is_told(tmp_path: Path) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text('{"messages": [{"role": "narrator", "content": "Once."}]}\n')
    report = convert_file(source, out, Options())
    assert report.notes == {"the row is no example yet; ftctl validate says why": [1]}


def test_half_a_record_is_told_by_what_is_missing() -> None:
    made = convert_record({"messages": [{"content": "x"}]}, Options())
    assert made.refusal == "it is no openai.chat record: 'role' is missing"


def test_files_with_no_row_in_them_leave_nothing(tmp_path: Path) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text(json.dumps({"messages": PLAIN, "kto_tag": False}) + "\n")
    with pytest.raises(DatasetInvalid, match="no record that became a row"):
        convert_file(source, out, Options(allow_loss=True))
    assert not out.exists()


def test_how_many_rows_a_note_is_true_of_is_counted_to_the_end(tmp_path: Path) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text('{"question": "a", "answer": "b"}\n' * 1200)
    report = convert_file(source, out, Options())
    (said,) = [many for what, many in report.told() if what.startswith("note")]
    assert said == 1200
    assert report.as_json()["notes"][0]["rows"] == 1200


@pytest.mark.parametrize(
    ("record", "hint"),
    [
        ({"a": "b"}, "--columns a,b"),
        ({"prompt": Q, "chosen": A, "rejected": B}, "--method dpo keeps both"),
        ({"messages": [USER], "reference": 4}, "--method reinforcement"),
    ],
)
def test_the_hint_of_a_refusal_fits_it(record: Any, hint: str, tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text(json.dumps(record) + "\n")
    with pytest.raises(DatasetInvalid) as refused:
        convert_file(source, tmp_path / "out.jsonl", Options())
    assert hint in str(refused.value.hint)


@pytest.mark.parametrize("spread", [None, 1])
def test_rows_inside_one_object_are_rows(spread: int | None, tmp_path: Path) -> None:
    source, out = tmp_path / "in.json", tmp_path / "out.jsonl"
    rows = [{"question": Q, "answer": str(number)} for number in range(3)]
    source.write_text(json.dumps({"version": "1", "data": rows}, indent=spread))
    if spread is None:
        (finding,) = validate(source, target="peft").findings
        assert "writes each row in data" in finding.fix
    report = convert_file(source, out, Options())
    assert report.written == 3
    (note,) = [note for note in report.notes if "list data" in note]
    assert note.endswith("left out: version")
    assert detect({"items": [HUMAN, GPT]}) == "sharegpt"  # Turns are no rows.
    source.write_text(json.dumps({"items": [HUMAN, GPT]}))
    assert convert_file(source, out, Options(), force=True).written == 1


def test_a_row_that_was_encoded_twice_is_converted_and_told(tmp_path: Path) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text(json.dumps(json.dumps({"messages": PLAIN})) + "\n")
    report = convert_file(source, out, Options())
    assert json.loads(out.read_text()) == {"messages": PLAIN}
    assert "encoded twice" in "".join(report.notes)

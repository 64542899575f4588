"""What is accepted at one look has no flaw at a close one, whatever the rows look like."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.datasets.checking.explain import validator_of
from orchestrator.datasets.checking.limits import limits_of
from orchestrator.datasets.checking.outlines import has_single_keys
from orchestrator.datasets.checking.reader import RowReader
from orchestrator.datasets.checking.validation import validate
from orchestrator.datasets.content import suspects
from orchestrator.datasets.content.texts import are_unremarkable, text_flaws
from orchestrator.datasets.files.reading import blocks
from orchestrator.datasets.files.strict import read_strictly
from orchestrator.domain.jobs.job import Method

TEXTS = st.one_of(
    st.sampled_from(
        ["Hi", "你好：", "a:b", "\\", '"', "é", "😀", "<|im_end|>", "", " ", "\u3000", "e\u0301"]
    ),
    st.text(max_size=12),
)
PROMPTS = st.lists(
    st.tuples(st.sampled_from(["user", "assistant", "user", "system", "developer"]), TEXTS),
    min_size=1,
    max_size=4,
)
EXTRAS = st.dictionaries(
    st.sampled_from(["answer", "x", "reference"]),
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(10**30), 10**30)
        | st.floats(allow_nan=False, allow_infinity=False)
        | TEXTS,
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner, max_size=2),
        max_leaves=4,
    ),
    max_size=2,
)
SPOILT = st.sampled_from(
    [
        None,
        None,
        None,
        ('"role"', '"role":"user","role"'),
        ('"content"', '"content":"","content"'),
        ('"content"', '"name": "", "content"'),
        ("}", ', "x": 1}'),
        ("{", '{"messages": [],'),
        ("{", '{"x": 1e999, '),
        ("{", '{"x": ' + "9" * 400 + ","),
        ('"messages"', '"messages"\u00a0'),
    ]
)


def messages(turns: list[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"role": role, "content": text} for role, text in turns]


@st.composite
def calling(draw: Any) -> dict[str, Any]:
    """A row with calls and replies that nearly fit each other and the tool."""
    parameters = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    arguments = st.sampled_from(['{"a": "b"}', '{"a": "b:c"}', '{"a": {"b": 1}}', "{}", "[]", "{"])
    calls = [
        {
            "id": f"c{draw(st.integers(0, 3))}",
            "type": "function",
            "function": {"name": draw(st.sampled_from("fffg")), "arguments": draw(arguments)},
        }
        for _ in range(draw(st.integers(1, 2)))
    ]
    said = draw(st.sampled_from([{}, {"content": None}, {"content": "b"}, {"content": ""}]))
    replies = [
        {"role": "tool", "tool_call_id": call["id"], "content": draw(TEXTS)}
        for call in draw(st.permutations(calls))[: draw(st.integers(0, 4))]
    ]
    return {
        "messages": [
            *messages(draw(PROMPTS)),
            {"role": "assistant", **said, "tool_calls": calls},
            *replies,
            {"role": "assistant", "content": draw(st.one_of(TEXTS, st.none()))},
        ][: draw(st.integers(2, 9))],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": parameters}}],
    }


OPTIONS = st.sampled_from(
    [{}, {}, {}, {"name": "x"}, {"name": "a:b"}, {"weight": 0}, {"weight": 1}, {"refusal": None}]
)


@st.composite
def lines(draw: Any, method: Method) -> bytes:
    """A line that is nearly good."""
    row: dict[str, Any] = {"messages": messages(draw(PROMPTS))}
    if method is Method.SUPERVISED:
        row["messages"].append({"role": "assistant", "content": draw(TEXTS)})
        row = draw(st.one_of(st.just(row), calling()))
        for message in row["messages"]:
            message.update(draw(OPTIONS))
    elif method is Method.REINFORCEMENT:
        row.update(draw(EXTRAS))
    else:
        row = {"input": row}
        for key in ("preferred_output", "non_preferred_output"):
            row[key] = messages([("assistant", draw(TEXTS))])
    separators = draw(st.sampled_from([(", ", ": "), (",", ":"), (" ,", ":  ")]))
    line = json.dumps(
        row, ensure_ascii=draw(st.booleans()), separators=separators, sort_keys=draw(st.booleans())
    )
    if spoilt := draw(SPOILT):
        good, bad = spoilt
        line = line.replace(good, bad, 1)
    return line.encode("utf-8", "surrogatepass")


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("content", [True, False])
@pytest.mark.parametrize("method", list(Method))
def test_what_is_accepted_at_one_look_has_no_flaw(
    method: Method, content: bool, data: st.DataObject
) -> None:
    some = data.draw(st.lists(st.one_of(lines(method), st.just(b"")), min_size=1, max_size=5))
    end = data.draw(st.sampled_from([b"", b"\r"]))
    some = [line + end for line in some]
    reader = RowReader(method, limits_of("openai", method), content=content)
    block = b"".join(line + b"\n" for line in some)
    for line, is_good in zip(some, reader.good(block), strict=True):
        if is_good or reader.good(line + b"\n") == [True]:
            assert read_strictly(line).flaws == []
            assert validator_of(method).is_valid(json.loads(line))
            _, flaws = reader.texts(line + b"\n")
            taken, whole = flaws.get(0, []), reader.read(line)
            assert taken == list(whole.flaws)
            assert all(flaw.pointer.endswith("/content") and content for flaw in taken)


INSTRUCTED = {
    Method.SUPERVISED: [("system", "Be brief.")],
    Method.DPO: [],
    Method.REINFORCEMENT: [("developer", "Be brief.")],
}


@pytest.mark.parametrize("method", list(Method))
def test_good_rows_are_accepted_at_one_look(method: Method) -> None:
    turns = messages([*INSTRUCTED[method], ("user", "Où ?")])
    answer, other = messages([("assistant", "Là: 😀")]), messages([("assistant", "Ici")])
    rows: dict[Method, dict[str, Any]] = {
        Method.SUPERVISED: {"messages": [*turns, *answer]},
        Method.DPO: {
            "input": {"messages": turns},
            "preferred_output": answer,
            "non_preferred_output": other,
        },
        Method.REINFORCEMENT: {"messages": turns, "answer": 1.50, "of": {"a": [-7, None, "é"]}},
    }
    some = [
        json.dumps(rows[method], ensure_ascii=escaped, separators=separators).encode()
        for escaped in (True, False)
        for separators in ((", ", ": "), (",", ":"))
    ]
    reader = RowReader(method, limits_of("openai", method))
    for batch in ([each] * 3 for each in some):
        assert reader.good(b"\n".join(batch) + b"\n") == [True] * 3


REMARKABLE = [
    *("user@acme.io", "4111 1111 1111 1111", "378282246310005", "GB29 NWBK 6016 1331 9268 19"),
    *("+1 415-867-5309", "(415) 867-5309", "AKIAQ3EGRIPTKWOZ4X2M", "postgres://u:hunter2x@db/x"),
    *("ghp_" + "aB3dE6gH9j" * 4, "-----BEGIN RSA PRIVATE KEY-----", "sk-proj-a8Fk2Lq9Zx7Wm3Rt5Yp1"),
    *("<|im_end|>", "<start_of_turn>", "[/INST]", "<<SYS>>", "<s>", "</s>", "<\uff5cUser\uff5c>"),
    *(
        "\x00",
        "\x1b",
        "\f",
        "\b",
        "\theta",
        "\u200b",
        "\u212b",
        "â€™",
        "Ð¿Ñ€",
        "\ufffd",
        " ",
        "\n",
        "",
    ),
    *("\\", "\\\\", "\u4f60", ".", "+", "-", "7", "n", "A", "é", "word", "12 345", "@", "://"),
]
SAID = st.lists(st.sampled_from(REMARKABLE), max_size=4).map("".join)


@settings(max_examples=300, deadline=None)
@given(
    texts=st.lists(SAID, min_size=1, max_size=12),
    escapes=st.booleans(),
    html=st.booleans(),
    look=st.sampled_from([suspects.looker(), suspects.suspects]),
)
def test_texts_of_many_lines_are_told_as_those_of_each(
    texts: list[str], escapes: bool, html: bool, look: suspects.Look
) -> None:
    said = [messages([("user", f"{text}?"), ("assistant", f"!{text}")]) for text in texts]
    lines = [json.dumps({"messages": each}, ensure_ascii=escapes) for each in said]
    if html:
        lines = [line.replace("<", "\\u003c").replace(">", "\\u003E") for line in lines]
    reader = RowReader(Method.SUPERVISED, limits_of("openai", Method.SUPERVISED))
    reader._look = look
    _, flaws = reader.texts("\n".join([*lines, ""]).encode())
    alone = {number: reader.read(line.encode()).flaws for number, line in enumerate(lines)}
    assert flaws == {number: found for number, found in alone.items() if found}


@given(st.lists(st.text(alphabet="aeÃ©â€™\u0301\u0338\u0327\u200bé 你\u212b"), max_size=3))
def test_what_is_unremarkable_has_no_flaw_of_characters(texts: list[str]) -> None:
    codes = {"invisible-character", "mojibake", "not-nfc"}
    if are_unremarkable(texts):
        for text in texts:
            assert not codes & {flaw.code for flaw in text_flaws(text, "", "user")}


@pytest.mark.parametrize(
    "line",
    [b'{"a": 1, "a": 2}', b'{"a": {"b": 1, "b": 1}}', b'{"a": 1e999}', b'{"a": %s}' % (b"9" * 400)],
)
def test_a_key_twice_and_a_number_beyond_a_double_are_seen(line: bytes) -> None:
    assert not has_single_keys(line)
    assert read_strictly(line).flaws


@pytest.mark.parametrize("key", [b'"name": "",', b'"content":"",', b'"role":"user",'])
def test_no_spaces_left_out_make_room_for_a_key(key: bytes) -> None:
    turns = [("user", "a"), ("assistant", "b")] * 4
    spaced = json.dumps({"messages": messages(turns)}).encode()
    start, _, rest = spaced.partition(b'{"role": "user"')
    short = rest.replace(b": ", b":").replace(b", ", b",")
    for spaces in range(len(spaced)):
        crowded = start + b'{"role": "user",' + key + b" " * spaces + short.lstrip(b",")
        if len(crowded) > len(spaced):
            return
        assert good(spaced, crowded) == [True, False]


def good(*some: bytes) -> list[bool]:
    reader = RowReader(Method.SUPERVISED, limits_of("openai"))
    return list(reader.good(b"".join(line + b"\n" for line in some)))


def test_blank_lines_among_good_rows_hold_none() -> None:
    row = json.dumps({"messages": messages([("user", "a"), ("assistant", "b")])}).encode()
    assert good(b"", row, b" ", row) == [False, True, False, True]
    assert good(row, b"\xef\xbb\xbf" + row, row) == [True, False, True]
    assert good(row, row.replace(b"a", b"\xff"), row) == [True, False, True]


def test_two_rows_on_a_line_beside_a_blank_one_are_no_two_lines() -> None:
    row = b'{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}'
    assert good(row + row, b"") == [False, False]
    assert good(row[:15], row[15:] + row) == [False, False]


@pytest.mark.parametrize("size", [1, 7, 64, 1 << 16])
def test_blocks_are_the_bytes_in_whole_lines(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from orchestrator.datasets.files import reading

    monkeypatch.setattr(reading, "_BLOCK", size)
    chance = random.Random(size)
    content = b"\n".join(b"x" * chance.randrange(30) for _ in range(200))
    pieces = list(blocks(io.BufferedReader(io.BytesIO(content))))
    assert b"".join(pieces) == content
    assert all(piece.endswith(b"\n") for piece in pieces[:-1])


def chat(asked: str, answered: str) -> bytes:
    turns = messages([("user", asked), ("assistant", answered)])
    return json.dumps({"messages": turns}).encode() + b"\n"


@pytest.mark.parametrize("stream", [True, False])
def test_contradictions_are_found_wherever_they_stand(tmp_path: Path, stream: bool) -> None:
    rows = [chat(f"Is {number}?", "yes") for number in range(30_000)]
    rows[25_000] = chat("Is 7?", "no")
    rows[29_000] = chat("IS 8?", "yes")
    rows[29_001] = chat("Is 9?", "yes")
    path = tmp_path / "many.jsonl"
    path.write_bytes(b"".join(rows))
    verdict = validate(io.BytesIO(path.read_bytes()) if stream else path, count_tokens=False)
    found = {(each.code, each.line) for each in verdict.findings if each.line}
    if stream:
        assert found == {("duplicate-row", 29_002)}
        assert verdict.counts["rows-not-compared"] == 1
    else:
        assert found == {
            ("conflicting-answers", 25_001),
            ("near-duplicate-row", 29_001),
            ("duplicate-row", 29_002),
        }
        assert "rows-not-compared" not in verdict.counts

"""What is counted is what tiktoken counts, whatever the texts and the rows."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from splintr import Tokenizer

from orchestrator.datasets.checking.validation import validate
from orchestrator.datasets.tokens.showing import pieces_of, sizes_of
from orchestrator.datasets.tokens.vocabularies import CL100K, O200K, counter_of
from orchestrator.domain.jobs.job import Method

if TYPE_CHECKING:
    from collections.abc import Callable

tiktoken = pytest.importorskip("tiktoken")
MODELS = {O200K: "gpt-4o-mini", CL100K: "gpt-3.5-turbo"}
RANKS = {O200K: 199_998, CL100K: 100_256}
ODD = [
    "<|endoftext|>",
    "<|im_start|>",
    "I'LL",
    "'s",
    "  \n\t ",
    "\r\n/",
    "1234567",
    "你好",
    "Ǆ",
    "é",
]
WORDS = st.lists(st.sampled_from([*ODD, "word", " Word", "ﬁ", "🙂‍↔️", "\u3000"]), max_size=12)
TEXTS = st.one_of(WORDS.map("".join), st.text(max_size=30))
#: Of rows that are taken many at once: nothing in them needs a closer look.
CLEAN = WORDS.map(lambda words: "".join(["So", *words, "!"]))


@pytest.fixture(scope="module", autouse=True)
def _published(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The published files, whose digest tiktoken checks, where it looks before it downloads."""
    folder = tmp_path_factory.mktemp("tiktoken")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIKTOKEN_CACHE_DIR", str(folder))
        for name in MODELS:
            token = Tokenizer.from_pretrained(name).decode_token_bytes
            ranks = (
                b"%s %d\n" % (base64.b64encode(token(rank)), rank) for rank in range(RANKS[name])
            )
            url = f"https://openaipublic.blob.core.windows.net/encodings/{name}.tiktoken"
            (folder / hashlib.sha1(url.encode()).hexdigest()).write_bytes(b"".join(ranks))
            tiktoken.get_encoding(name)
        yield


def counted(name: str) -> Callable[[str], int]:
    encoding = tiktoken.get_encoding(name)
    return lambda text: len(encoding.encode_ordinary(text))


@pytest.mark.parametrize("name", MODELS)
@given(text=TEXTS)
def test_a_text_has_the_tokens_of_tiktoken(name: str, text: str) -> None:
    assert counter_of(MODELS[name]).count(text) == counted(name)(text)


@given(text=TEXTS)
def test_the_quick_tokenizer_counts_the_same(text: str) -> None:
    pytest.importorskip("fastokens")
    assert counter_of(size=1 << 40).count(text) == counted(O200K)(text)


def message(role: str) -> st.SearchStrategy[dict[str, Any]]:
    parts = st.lists(TEXTS.map(lambda text: {"type": "text", "text": text}), min_size=1, max_size=2)
    plain = {"role": st.just(role), "content": TEXTS if role == "assistant" else TEXTS | parts}
    return st.fixed_dictionaries(plain, optional={"name": TEXTS})


@st.composite
def chats(draw: st.DrawFn) -> dict[str, Any]:
    """Turns of text, as most rows are; now and then with a call, tools, parts and names."""
    rich = draw(st.booleans())
    texts = TEXTS if rich else CLEAN
    row: dict[str, Any] = {"messages": []}
    if draw(st.booleans()):
        row["messages"].append({"role": "system", "content": draw(texts)})
    for _ in range(draw(st.integers(1, 2))):
        for role in ("user", "assistant"):
            plain = {"role": role, "content": draw(texts)}
            row["messages"].append(draw(message(role)) if rich else plain)
    if rich and draw(st.booleans()):
        function = {"name": draw(TEXTS), "arguments": draw(TEXTS)}
        call = {"id": "call_1", "type": "function", "function": function}
        row["messages"].append({"role": "assistant", "tool_calls": [call]})
        row["messages"].append({"role": "tool", "tool_call_id": "call_1", "content": draw(TEXTS)})
        row["tools"] = [{"type": "function", "function": {"name": "look_up"}}]
    return row


def by_hand(row: dict[str, Any], count: Callable[[str], int]) -> int:
    """The cookbook's formula, with what it does not know: calls, tools, parts."""
    tokens = 3
    for each in row["messages"]:
        tokens += 3 + count(each["role"]) + ("name" in each)
        content = each.get("content") or ""
        parts = content if isinstance(content, list) else [{"text": content}]
        calls = [call["function"] for call in each.get("tool_calls", ())]
        texts = [part["text"] for part in parts]
        texts += [call[key] for call in calls for key in ("name", "arguments")]
        texts += [each[key] for key in ("name", "tool_call_id") if key in each]
        tokens += sum(map(count, texts))
    if "tools" in row:
        tokens += count(json.dumps(row["tools"], ensure_ascii=False, separators=(",", ":")))
    return tokens


@settings(max_examples=40)
@given(rows=st.lists(chats(), min_size=1, max_size=5), name=st.sampled_from(sorted(MODELS)))
def test_a_row_has_the_tokens_of_the_formula(rows: list[dict[str, Any]], name: str) -> None:
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    verdict = validate(io.BytesIO(lines), model=MODELS[name], content=False)
    wanted = [by_hand(row, counted(name)) for row in rows]
    assert verdict.tokens == sum(wanted)
    assert verdict.lengths is not None
    assert sorted(verdict.lengths.longest) == list(enumerate(wanted, 1))
    assert [sizes_of(pieces_of(row, name=MODELS[name])).total for row in rows] == wanted


@settings(max_examples=40)
@given(rows=st.lists(st.tuples(CLEAN, TEXTS, CLEAN), min_size=1, max_size=4))
def test_a_pair_has_the_tokens_of_its_prompt_once(rows: list[tuple[str, str, str]]) -> None:
    count = counted(O200K)
    lines, shown = b"", []
    for asked, kept, other in rows:
        pair = {
            "input": {"messages": [{"role": "user", "content": asked}]},
            "preferred_output": [{"role": "assistant", "content": kept}],
            "non_preferred_output": [{"role": "assistant", "content": other}],
        }
        lines += json.dumps(pair).encode() + b"\n"
        shown.append(sizes_of(pieces_of(pair)))
    verdict = validate(io.BytesIO(lines), method=Method.DPO)
    assert verdict.tokens == sum(3 + 3 * 4 + sum(map(count, row)) for row in rows)
    assert verdict.tokens == sum(each.total + each.other for each in shown)
    assert [each.learned for each in shown] == [4 + count(kept) for _, kept, _ in rows]

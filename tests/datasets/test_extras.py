"""What the extras bring: other tokenizers, likeness, Parquet, Zstandard, and the quick look."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from orchestrator.datasets.checking.validation import Validation, validate
from orchestrator.datasets.content import suspects
from orchestrator.datasets.content.leaks import Seen
from orchestrator.datasets.content.secrets import leaks_in
from orchestrator.datasets.findings.finding import Finding
from orchestrator.datasets.tokens.open_models import OpenCounter, open_model
from orchestrator.datasets.tokens.showing import cut_at, pieces_of, row_of
from orchestrator.datasets.tokens.vocabularies import counter_of, doubt_of
from orchestrator.domain.errors import UsageError

TINY = Path(__file__).parents[2] / "worker" / "ftctl_worker" / "base_models" / "tiny"
TORTURE = Path(__file__).parents[1] / "data" / "datasets" / "torture"
OK = TORTURE / "ok_10_rows.jsonl"


def chat(question: str, answer: str = "Yes.") -> dict[str, Any]:
    return {
        "messages": [
            {"role": "user", "content": question},
            {"role": "assistant", "content": answer},
        ]
    }


def checked(rows: list[dict[str, Any]], **options: Any) -> Validation:
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    return validate(io.BytesIO(content), target="peft", **options)


SECRETS = {
    "AKIAZ7QH3M2X9PLKD4TB": "secret",
    "ghp_9aKd83jLmQp27XcVbN45tYwEzR16sFgH0uIo": "secret",
    "postgres://app:s3cr3tPw9@db.internal/x": "secret",
    "write to jane.roe@acme.io": "personal-data",
    "card 4539 1488 0343 6467": "personal-data",
    "GB82 WEST 1234 5698 7654 32": "personal-data",
    "call +49 170 9876543": "personal-data",
    "call (212) 736-5000": "personal-data",
    "call +1.2127365000": "personal-data",
}
HARMLESS = [
    "AKIAIOSFODNN7EXAMPLE",
    "sk-xxxxxxxxxxxxxxxxxxxxxxxx",
    "postgres://user:<password>@host/db",
    "4539 1488 0343 6468 is no card",
    "3.14159265358979 and 2026-11-20 10:11:12",
    "GB82 WEST 1234 5698 7654 33",
    "write to jane.roe@example.org or root@box.test",
    "call +1 202-555-0143, 206-555-1111 or +447700900545",
    "+2.55112945 + 1.4142135623731 and +1.4142135623731",
    "int32 goes to +2147483647, 2 ** 48 is +281474976710656",
    "+1980-02-29 and +12 34 56 78",
    "web/20160313023044/x, default_rng(5205143471933478621)",
]


@pytest.mark.parametrize("text", SECRETS)
def test_secrets_are_found_with_and_without_the_quick_look(text: str) -> None:
    assert [code for code, _ in leaks_in(text)] == [SECRETS[text]]
    line = json.dumps(chat("a\n" + text)).encode()
    assert suspects.looker()(line)
    assert suspects.suspects(line)
    assert SECRETS[text] in checked([chat("a\n" + text)], count_tokens=False).counts


@pytest.mark.parametrize("text", HARMLESS)
def test_what_only_looks_like_a_secret_is_not_accused(text: str) -> None:
    assert not list(leaks_in(text))


def test_a_folder_counts_and_cuts_as_its_model_does() -> None:
    pytest.importorskip("tokenizers")
    counter = counter_of(str(TINY))
    assert isinstance(counter, OpenCounter)
    verdict = validate(OK, target="peft", model=str(TINY))
    assert verdict.tokens is not None
    assert verdict.encoding == "tiny"
    _, row = row_of(OK, 2)
    pieces = pieces_of(row, model=open_model(TINY))
    assert verdict.lengths is not None
    assert (2, sum(piece.tokens for piece in pieces)) in verdict.lengths.longest


def test_a_model_that_the_worker_carries_counts_by_its_name() -> None:
    pytest.importorskip("tokenizers")
    named, folder = (validate(OK, target="peft", model=model) for model in ("tiny", str(TINY)))
    assert (named.tokens, named.lengths, named.encoding) == (folder.tokens, folder.lengths, "tiny")
    assert "tokens-estimated" not in {each.code for each in named.findings}


@pytest.mark.parametrize("name", ["some-body/their.model", "some-body/their.model@first"])
def test_a_model_of_the_hub_that_was_fetched_counts_by_its_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tokenizers")
    place = tmp_path / "models--some-body--their.model"
    shutil.copytree(TINY, place / "snapshots" / ("1" * 40))
    for branch in ("main", "first"):
        ref = place / "refs" / branch
        ref.parent.mkdir(exist_ok=True)
        ref.write_text("1" * 40)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert doubt_of(name) is None
    counter = counter_of(name)
    assert counter.encoding == name
    assert counter.count("hello") == open_model(TINY).count("hello")
    assert doubt_of(f"{name}-instruct") is not None
    assert doubt_of("no/name//that could be") is not None


def test_only_answers_with_a_weight_are_learned() -> None:
    pytest.importorskip("tokenizers")
    row = chat("Hi", "Ho")
    row["messages"] += chat("And?", "No")["messages"]
    row["messages"][1]["weight"] = 0
    assert [each.text for each in pieces_of(row) if each.trained] == ["No"]
    shown = pieces_of(row, model=open_model(TINY))
    assert [each.text for each in shown if each.trained] == ["No<|end|>"]
    assert "".join(each.text for each in shown).startswith("<|user|>Hi<|end|><|assistant|>Ho")
    assert cut_at(shown, 3) == 0
    assert cut_at(shown, None) is None


@pytest.fixture
def forgetful(tmp_path: Path) -> Path:
    """A model whose template drops earlier answers and names no tool, as some do with thoughts."""
    template = (
        "{% for each in messages %}<|{{ each.role }}|>"
        "{{ each.content if each.role != 'assistant' or loop.last else '' }}"
        "{% if each.role != 'assistant' or loop.last %}<|end|>{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    for name in ("tokenizer.json", "tokenizer_config.json", "config.json"):
        (tmp_path / name).write_bytes((TINY / name).read_bytes())
    (tmp_path / "chat_template.jinja").write_text(template)
    return tmp_path


def test_where_the_template_rewrites_history_each_answer_is_a_row(forgetful: Path) -> None:
    pytest.importorskip("tokenizers")
    row = {"messages": [*chat("Hi", "Ho")["messages"], *chat("And?", "No")["messages"]]}
    pieces = pieces_of(row, model=open_model(forgetful))
    assert [each.text for each in pieces if each.trained] == ["Ho<|end|>", "No<|end|>"]
    assert sum("a row of its own" in each.label for each in pieces) == 2


def test_what_the_template_leaves_out_is_named(forgetful: Path) -> None:
    pytest.importorskip("tokenizers")
    call = {"id": "1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
    row = chat("Hi")
    row["messages"][1] = {"role": "assistant", "tool_calls": [call]}
    row["tools"] = [{"type": "function", "function": {"name": "look_up"}}]
    *_, last = pieces_of(row, model=open_model(forgetful))
    assert last.label == "left out by the chat template: tools, tool calls"


def test_a_pair_and_a_prompt_are_shown_as_their_methods_read_them() -> None:
    pytest.importorskip("tokenizers")
    asked, kept, other = (
        {"role": role, "content": text}
        for role, text in (("user", "Hi"), ("assistant", "Ho"), ("assistant", "Hm"))
    )
    pair = {
        "input": {"messages": [asked]},
        "preferred_output": [kept],
        "non_preferred_output": [other],
    }
    item = {"messages": [asked], "reference_answer": "Ho"}
    for model in (None, open_model(TINY)):
        shown = {each.label: (each.text, each.trained) for each in pieces_of(pair, model=model)}
        texts = [text.removesuffix("<|end|>") for text, trained in shown.values() if trained]
        assert texts == ["Ho"]
        assert shown["not preferred"] == (f"Hm{'<|end|>' if model else ''}", False)
        graded = pieces_of(item, model=model)[-1]
        assert graded.text == '{"reference_answer":"Ho"}'
    assert pieces_of(item, model=model)[0].text.endswith("<|assistant|>")


def test_a_row_that_is_not_there_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="no row 11"):
        row_of(OK, 11)


WORDS = [f"word{number}" for number in range(80)]


def test_alike_rows_are_found_among_rows_and_between_files() -> None:
    pytest.importorskip("rensa")
    from orchestrator.datasets.checking.near import NearDuplicates

    long = " ".join(WORDS)
    rows = [chat(long), chat(long + " more"), chat(" ".join(reversed(WORDS)))]
    found = [each for each in checked(rows, near=True).findings if each.code == "alike-row"]
    assert [each.line for each in found] == [2]
    seen = Seen(NearDuplicates(questions=True))
    checked(rows[:1], remember=seen)
    leaks = checked(rows[1:], training=seen, split="validation").findings
    assert [each.line for each in leaks if each.code == "leaked-near-duplicate"] == [1]


def test_equal_hashes_alone_are_no_repeats(tmp_path: Path) -> None:
    from orchestrator.datasets.content.hashes import Repeat, verified

    lines = [b"a\n", b"b\n", b"a\r\n"]
    assert list(verified([Repeat(2, 1), Repeat(3, 1)], lines)) == [Repeat(3, 1)]


def test_classes_are_told_on_request() -> None:
    rows = [chat(f"{number}?", "ham") for number in range(20)] + [chat("x?", "spam")]
    told = {each.code: each.message for each in checked(rows, task="classification").findings}
    assert "ham 95.2 %" in told["class-balance"]
    assert "'spam'" in told["class-rare"]
    assert "class-balance" not in checked(rows).counts
    free = [chat(f"{number}?", f"answer {number} " * 20) for number in range(20)]
    assert "answers-are-no-classes" in checked(free, task="classification").counts


def test_scripts_are_told_when_there_are_several() -> None:
    rows = [chat(f"{number}?", "Ja, gern") for number in range(5)]
    rows += [chat(f"{number}!", "Конечно") for number in range(5)]
    told = [each for each in checked(rows).findings if each.code == "language-mix"]
    assert len(told) == 1
    assert "Cyrillic 50.0 %" in told[0].message


def test_zstandard_is_read_and_its_damage_found() -> None:
    zstandard = pytest.importorskip("zstandard")
    packed = zstandard.ZstdCompressor().compress(OK.read_bytes())
    assert validate(io.BytesIO(packed)).rows == 10
    assert validate(io.BytesIO(packed + packed)).rows == 20
    assert "broken-gzip" in validate(io.BytesIO(packed[:-4])).counts


def test_parquet_reads_back_as_it_was(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    from orchestrator.datasets.files.records_of import records_of

    rows = [json.loads(line) for line in OK.read_text().splitlines()]
    parquet.write_table(arrow.Table.from_pylist(rows), tmp_path / "a.parquet")
    assert [record.value for record in records_of(tmp_path / "a.parquet")] == rows
    assert [record.value for record in records_of(tmp_path)] == rows


def test_an_interruption_keeps_what_was_found() -> None:
    def stop(_finding: Finding) -> None:
        raise KeyboardInterrupt

    bad = b"{}\n" * 10
    verdict = validate(io.BytesIO(bad), on_finding=stop, partial=True)
    assert verdict.interrupted
    assert not verdict.ok
    assert verdict.counts == {"missing-key": 1}
    with pytest.raises(KeyboardInterrupt):
        validate(io.BytesIO(bad), on_finding=stop)

"""The parts of training that decide what is learned, and in which order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ftctl_worker
import pytest
import torch
from ftctl_worker.errors import TrainingDataError
from ftctl_worker.forms.call_styles import STYLES
from ftctl_worker.forms.tool_calls import split_calls
from ftctl_worker.hyperparameters import TrainingDefaults, choose, read_defaults
from ftctl_worker.models import adapters
from ftctl_worker.queue.dataset import Example, count_examples, read_examples
from ftctl_worker.training.batches import epoch_order, in_passes
from ftctl_worker.training.early_stopping import BestEpoch
from ftctl_worker.training.forward import Forward, Sums
from ftctl_worker.training.rendering import Row, render_rows
from ftctl_worker.training.resume import Progress
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.worker.mini_model import DEFAULTS, mini_tokenizer


def chat(*pairs: tuple[str, str]) -> Example:
    messages: list[dict[str, Any]] = []
    for question, answer in pairs:
        messages.append({"role": "user", "content": question})
        messages.append({"role": "assistant", "content": answer})
    return Example(line=1, messages=messages, tools=None)


def learned_texts(example: Example, template: str | None = None) -> list[tuple[Any, Any]]:
    tokenizer = mini_tokenizer()
    if template is not None:
        tokenizer.chat_template = template
    rows, _ = render_rows([example], tokenizer, max_length=200, eos_ids={tokenizer.eos_token_id})
    return [
        (
            tokenizer.decode(row.ids),
            tokenizer.decode([i for i, flag in zip(row.ids, row.learned, strict=True) if flag]),
        )
        for row in rows
    ]


def test_every_answer_is_learned_with_its_end() -> None:
    ((whole, learned),) = learned_texts(chat(("a", "one"), ("b", "two")))
    assert whole == "<user>a<end><assistant>one<end><user>b<end><assistant>two<end>"
    assert learned == "one<end>two<end>"


def test_a_template_that_rewrites_history_gives_a_row_per_answer() -> None:
    template = (
        "{% for m in messages %}<{{ m.role }}>"
        "{{ m.content if loop.last or m.role == 'user' else 'old' }}<end>{% endfor %}"
        "{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    rows = learned_texts(chat(("a", "one"), ("b", "two")), template)
    assert [learned for _, learned in rows] == ["one<end>", "two<end>"]
    assert rows[1][0] == "<user>a<end><assistant>old<end><user>b<end><assistant>two<end>"


def test_an_end_is_added_where_the_template_has_none() -> None:
    template = (
        "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    ((_, learned),) = learned_texts(chat(("a", "one")), template)
    assert learned == "one\n<end>"


def test_a_template_that_refuses_names_the_line() -> None:
    tokenizer = mini_tokenizer()
    tokenizer.chat_template = "{{ raise_exception('roles must alternate') }}"
    with pytest.raises(TrainingDataError, match=r"Line 1: .*roles must alternate"):
        render_rows([chat(("a", "b"))], tokenizer, max_length=9, eos_ids={1})


def test_long_rows_lose_their_end_and_rows_without_an_answer_go() -> None:
    tokenizer = mini_tokenizer()
    examples = [chat(("a", "x" * 50)), chat(("q" * 50, "a"))]
    rows, counts = render_rows(examples, tokenizer, max_length=20, eos_ids={1})
    assert [len(row.ids) for row in rows] == [20]
    assert (counts.truncated, counts.skipped) == (1, 1)
    with pytest.raises(TrainingDataError, match="within 20 tokens"):
        render_rows(examples[1:], tokenizer, max_length=20, eos_ids={1})


def test_an_epoch_visits_every_row_once_and_repeats_by_seed() -> None:
    rows = [Row([0] * (n % 17 + 2), [True] * (n % 17 + 2)) for n in range(103)]
    first = epoch_order(rows, 8, seed=3, epoch=0)
    assert sorted(index for batch in first for index in batch) == list(range(103))
    assert first == epoch_order(rows, 8, seed=3, epoch=0)
    assert first != epoch_order(rows, 8, seed=3, epoch=1)
    assert first != epoch_order(rows, 8, seed=4, epoch=0)


def test_passes_stay_within_their_tokens_and_few_shapes() -> None:
    rows = [Row(list(range(n)), [True] * n) for n in range(2, 200)]
    passes = in_passes(rows, longest=256, pad_id=0, tokens=1024)
    assert sum(one.tokens for one in passes) == sum(range(2, 200))
    assert all(one.ids.numel() <= 1024 for one in passes)
    assert len({one.ids.shape[1] for one in passes}) < 12
    assert sum(one.labels for one in passes) == sum(n - 1 for n in range(2, 200))


def test_rows_of_unlike_length_are_not_padded_to_the_longest() -> None:
    rows = [Row([1] * n, [True] * n) for n in (250, 20, 20, 20, 20, 20, 20, 20)]
    split = in_passes(rows, longest=256, pad_id=0)
    assert [tuple(one.ids.shape) for one in split] == [(1, 256), (7, 32)]
    (whole,) = in_passes(rows, longest=256, pad_id=0, overhead=4096)
    assert tuple(whole.ids.shape) == (8, 256)


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
def test_the_loss_is_that_of_the_whole_model(models_dir: Path, tmp_path: Path) -> None:
    torch.manual_seed(1)
    plain = AutoModelForCausalLM.from_pretrained(models_dir / "mini", dtype=torch.float32)
    model = adapters.attach(plain, TrainingDefaults(lora_r=4))
    for value in adapters.trainable(model).values():
        torch.nn.init.normal_(value, std=0.1)
    rows = [Row([3, 40, 50, 4, 60, 70, 1], [False] * 4 + [True] * 3), Row([3, 9, 4, 8], [True] * 4)]
    (batch,) = in_passes(rows, longest=64, pad_id=0)
    sums = Sums()
    ours = Forward(model, half=False)(batch, sums)
    labels = batch.ids.masked_fill(~batch.learned, -100)
    mask = torch.arange(batch.ids.shape[1]) < torch.tensor([[7], [4]])
    mean = model(input_ids=batch.ids, attention_mask=mask.long(), labels=labels).loss
    assert ours.item() == pytest.approx(mean.item() * batch.labels, rel=1e-5)
    assert sums.labels == 3 + 3

    saved = {"base": "mini", "name": "ft:x", "job_id": "ftjob-x", "step": 1, "loss": 0.5}
    adapters.save(model, tmp_path / "adapter", **saved)  # type: ignore[arg-type]
    before = model(batch.ids).logits
    fresh = AutoModelForCausalLM.from_pretrained(models_dir / "mini", dtype=torch.float32)
    loaded = PeftModel.from_pretrained(fresh, str(tmp_path / "adapter"))
    torch.testing.assert_close(loaded(batch.ids).logits, before)


def test_auto_follows_the_model_and_then_the_data(tmp_path: Path) -> None:
    (tmp_path / "training_defaults.json").write_text(json.dumps(DEFAULTS))
    named = choose({}, read_defaults(tmp_path), examples=24)
    assert (named.n_epochs, named.batch_size, named.learning_rate) == (3, 8, 0.01)
    assert "training_defaults.json" in named.why
    general = choose({"learning_rate_multiplier": 2.0}, read_defaults(None), examples=24)
    assert (general.n_epochs, general.batch_size) == (10, 3)
    assert general.learning_rate == pytest.approx(4e-4)
    assert "24 examples" in general.why
    given = choose(
        {"n_epochs": 1, "batch_size": 2, "learning_rate_multiplier": 1.0}, TrainingDefaults(), 9
    )
    assert given.reported() == {"n_epochs": 1, "batch_size": 2, "learning_rate_multiplier": 1.0}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no examples"),
        (b"\n \n", "no examples"),
        (b'{"a": 1', "Line 1: not valid JSON"),
        (b'\n{"messages": []}', "Line 2: 'messages'"),
        (b"[1]", "JSON object"),
        (b'"\xff"', "UTF-8"),
        (b"[" * 100_000, "too deeply"),
        (b'{"messages": "' + b"x" * (10 * 1024 * 1024) + b'"}', "longer than 10 MiB"),
    ],
)
def test_hostile_files_are_refused_with_a_reason(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    with pytest.raises(TrainingDataError, match=said):
        count_examples(file)


def test_a_byte_order_mark_and_empty_lines_do_no_harm(tmp_path: Path) -> None:
    row = json.dumps({"messages": [{"role": "assistant", "content": "hi"}]}).encode()
    file = tmp_path / "file"
    file.write_bytes(b"\xef\xbb\xbf" + row + b"\r\n\r\n" + row)
    assert count_examples(file) == 2


CALL = {"id": "c1", "type": "function", "function": {"name": "rate", "arguments": {"of": "EUR"}}}
LEGACY = {"name": "rate", "arguments": '{"of": "EUR"}'}


def calling(tmp_path: Path, **row: Any) -> Example:
    answer = {"role": "assistant", "content": None, **row.pop("answer")}
    path = tmp_path / "calls.jsonl"
    path.write_text(
        json.dumps({"messages": [{"role": "user", "content": "EUR?"}, answer], **row}) + "\n"
    )
    (example,) = read_examples(path)
    return example


def test_a_template_that_drops_calls_is_not_trained_with(tmp_path: Path) -> None:
    example = calling(tmp_path, answer={"tool_calls": [CALL]})
    with pytest.raises(TrainingDataError, match=r"Line 1: .*leaves tool calls out.*/messages/1"):
        learned_texts(example)


@pytest.mark.parametrize(
    "row",
    [
        {"answer": {"tool_calls": [CALL]}, "tools": [{"type": "function", "function": LEGACY}]},
        {"answer": {"function_call": LEGACY}, "functions": [LEGACY]},
    ],
    ids=["tools", "functions"],
)
def test_the_embedded_model_learns_calls(tmp_path: Path, row: dict[str, Any]) -> None:
    tokenizer = AutoTokenizer.from_pretrained(
        Path(ftctl_worker.__file__).with_name("base_models") / "tiny"
    )
    rows, counts = render_rows(
        [calling(tmp_path, **row)], tokenizer, max_length=400, eos_ids={tokenizer.eos_token_id}
    )
    learned = tokenizer.decode(
        [i for i, flag in zip(rows[0].ids, rows[0].learned, strict=True) if flag]
    )
    text, calls = split_calls(str(learned).removesuffix("<|end|>"), STYLES["hermes"])
    assert (text, calls[0]["function"]) == ("", LEGACY)
    assert counts.toolless == 0


def test_tools_that_the_template_does_not_show_are_counted(tmp_path: Path) -> None:
    example = calling(tmp_path, answer={"content": "1.08"}, functions=[LEGACY])
    _, counts = render_rows([example], mini_tokenizer(), max_length=200, eos_ids=set())
    assert counts.toolless == 1


def test_a_resumed_job_goes_back_to_an_epoch_not_into_one() -> None:
    """Within an epoch there may be evaluations, but no adapter is kept."""
    losses = {2: 0.9, 4: 0.8, 6: 0.1, 8: 0.7}
    seen: list[dict[str, float]] = [{"step": n, "valid_loss": x} for n, x in losses.items()]
    best = BestEpoch(2, Progress(metrics=seen), every=4)
    assert best.step == 8

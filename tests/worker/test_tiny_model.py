"""The embedded base model, as plain transformers sees it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

FOLDER = Path(__file__).parents[2] / "worker" / "ftctl_worker" / "base_models" / "tiny"
CHAT = [
    {"role": "system", "content": "Labels: sport, music. Answer with the label only."},
    {"role": "user", "content": "We won the match 3:1!\nWhat a day \N{SOCCER BALL}"},
    {"role": "assistant", "content": "sport"},
    {"role": "user", "content": " She plays the violin."},
    {"role": "assistant", "content": "music"},
]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return transformers.AutoTokenizer.from_pretrained(FOLDER)


@pytest.fixture(scope="module")
def model() -> Any:
    return transformers.AutoModelForCausalLM.from_pretrained(FOLDER).eval()


def test_the_folder_is_small_and_readable_by_all() -> None:
    files = [file for file in FOLDER.rglob("*") if file.is_file()]
    assert {"model.safetensors", "tokenizer.json", "config.json", "README.md"} <= {
        file.name for file in files
    }
    assert sum(file.stat().st_size for file in files) < 10_000_000
    assert all(file.stat().st_mode & 0o444 == 0o444 for file in files)


def test_it_has_about_three_million_weights_and_room_for_few_shot_prompts(model: Any) -> None:
    assert 2_500_000 < model.num_parameters() < 3_500_000
    assert model.config.max_position_embeddings >= 2048
    assert model.config.vocab_size == model.get_input_embeddings().weight.shape[0]


def test_end_and_padding_are_told_apart(tokenizer: Any, model: Any) -> None:
    assert tokenizer.eos_token_id != tokenizer.pad_token_id
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    assert model.generation_config.pad_token_id == tokenizer.pad_token_id


@pytest.mark.parametrize("upto", [2, 4])
def test_the_prompt_is_a_prefix_of_the_full_chat(tokenizer: Any, upto: int) -> None:
    prompt = tokenizer.apply_chat_template(CHAT[:upto], tokenize=False, add_generation_prompt=True)
    full = tokenizer.apply_chat_template(CHAT[: upto + 1], tokenize=False)
    assert full.startswith(prompt)
    assert full == prompt + CHAT[upto]["content"] + tokenizer.eos_token
    prompt_ids, full_ids = tokenizer(prompt)["input_ids"], tokenizer(full)["input_ids"]
    assert full_ids[: len(prompt_ids)] == prompt_ids
    assert full_ids[-1] == tokenizer.eos_token_id


def test_the_template_knows_tools_and_refuses_strangers(tokenizer: Any) -> None:
    text = tokenizer.apply_chat_template(
        [{"role": "tool", "content": "21 degrees"}], tokenize=False
    )
    assert text == "<|tool|>21 degrees<|end|>"
    with pytest.raises(Exception, match="roles system, user, assistant and tool"):
        tokenizer.apply_chat_template([{"role": "oracle", "content": "x"}], tokenize=False)


@pytest.mark.parametrize(
    "text",
    [
        "billing",
        "two words",
        '{"a": [1, 22], "b": null}',
        "naïve café – 東京 \N{ROCKET}",
        "a\n\n  b",
        "P1",
    ],
)
def test_text_survives_the_tokenizer(tokenizer: Any, text: str) -> None:
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.decode(ids) == text


def test_a_word_is_the_same_token_wherever_it_stands(tokenizer: Any) -> None:
    (alone,) = tokenizer("music")["input_ids"]
    assert tokenizer("we like music")["input_ids"][-1] == alone
    turn = tokenizer("<|assistant|>music<|end|>")["input_ids"]
    assert turn[1:] == [alone, tokenizer.eos_token_id]


def test_digits_are_single_tokens(tokenizer: Any) -> None:
    assert [tokenizer.decode([i]) for i in tokenizer("a2024")["input_ids"]] == list("a2024")


def test_one_forward_gives_finite_logits(tokenizer: Any, model: Any) -> None:
    ids = tokenizer(tokenizer.apply_chat_template(CHAT, tokenize=False), return_tensors="pt")
    with torch.inference_mode():
        logits = model(**ids).logits
    assert logits.shape == (*ids["input_ids"].shape, model.config.vocab_size)
    assert torch.isfinite(logits).all()


def test_generation_ends_by_itself(tokenizer: Any, model: Any) -> None:
    prompt = tokenizer.apply_chat_template(CHAT[:2], tokenize=False, add_generation_prompt=True)
    ids = tokenizer(prompt, return_tensors="pt")
    with torch.inference_mode():
        made = model.generate(**ids, max_new_tokens=64, do_sample=False)
    new = made[0, ids["input_ids"].shape[1] :].tolist()
    assert new[-1] == tokenizer.eos_token_id
    assert len(new) < 64


def test_what_auto_means_is_written_beside_the_weights() -> None:
    defaults = json.loads((FOLDER / "training_defaults.json").read_text(encoding="utf-8"))
    assert 0 < defaults["learning_rate"] < 0.1
    assert defaults["n_epochs"] >= 1
    assert defaults["batch_size"] >= 1
    assert set(defaults["lora"]) == {"r", "alpha", "target_modules"}

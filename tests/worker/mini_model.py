"""A chat model of some hundred thousand random weights, made on the spot."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SPECIAL = ("<pad>", "<end>", "<system>", "<user>", "<assistant>", "<tool>")
TEMPLATE = (
    "{% for message in messages %}<{{ message.role }}>{{ message.content }}<end>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
CALLING_TEMPLATE = (
    "{% if tools %}<system>Write <tool_call>JSON</tool_call> to call one of: {{ tools | tojson }}"
    "<end>{% endif %}" + TEMPLATE
)
DEFAULTS = {
    "learning_rate": 0.01,
    "n_epochs": 3,
    "batch_size": 8,
    "lora": {"r": 8, "alpha": 16, "target_modules": "all-linear"},
    "max_length": 96,
}


def build_mini_model(
    folder: Path,
    *,
    defaults: dict[str, object] | None = None,
    template: str = TEMPLATE,
    context: int = 256,
    special: Sequence[str] = (),
) -> Path:
    """Save a random Llama with a byte-level tokenizer and a chat template."""
    tokenizer = mini_tokenizer(special)
    tokenizer.chat_template = template
    torch.manual_seed(7)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=context,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    if defaults is not None:
        (folder / "training_defaults.json").write_text(json.dumps(defaults))
    return folder


def mini_tokenizer(special: Sequence[str] = ()) -> PreTrainedTokenizerFast:
    """Return a byte-level tokenizer with one token per role, and for each of ``special``."""
    names = [*SPECIAL, *special, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    plain = Tokenizer(models.BPE(vocab={name: i for i, name in enumerate(names)}, merges=[]))
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    plain.decoder = decoders.ByteLevel()
    plain.add_special_tokens([*SPECIAL, *special])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=plain, eos_token="<end>", pad_token="<pad>"
    )
    tokenizer.chat_template = TEMPLATE
    return tokenizer

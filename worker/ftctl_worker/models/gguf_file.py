"""A Llama-like model as a GGUF file, for llama.cpp and what is built on it.

Format and names: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Weights are stored in
fp16, norms in fp32. Only what can be said exactly is written: the Llama architecture, and
tokenizers whose way of cutting text has a name in llama.cpp.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch

from ftctl_worker.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["write_gguf"]

_ARCHITECTURE = "LlamaForCausalLM"
_NORMAL, _CONTROL, _USER = 1, 3, 4


def write_gguf(model: Any, tokenizer: Any, path: Path) -> None:
    """Write a model with its tokenizer and chat template.

    Raises:
        ModelError: ``gguf`` is not installed, or the model cannot be said in GGUF here.
    """
    try:
        import gguf
    except ImportError as error:
        raise ModelError(
            "GGUF needs the package gguf: pip install 'ftctl-worker[gguf]'."
        ) from error
    _check(model)
    writer = gguf.GGUFWriter(path, "llama")
    _describe(writer, model.config, tokenizer)
    _add_tokenizer(writer, tokenizer, model.config.vocab_size)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, model.config.num_hidden_layers)
    for name, tensor in _tensors(model):
        told = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if told is None:
            raise ModelError(f"The tensor {name} has no place in a GGUF file of a Llama.")
        kind = torch.float16 if tensor.ndim > 1 else torch.float32
        writer.add_tensor(told, tensor.to(kind).cpu().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _check(model: Any) -> None:
    config = model.config
    if type(model).__name__ != _ARCHITECTURE:
        raise ModelError(f"GGUF is written for {_ARCHITECTURE} alone, not {type(model).__name__}.")
    rope = getattr(config, "rope_parameters", None) or {}
    if rope.get("rope_type", "default") != "default":
        raise ModelError("GGUF is written for models with plain rotary positions alone.")


def _describe(writer: Any, config: Any, tokenizer: Any) -> None:
    heads = config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    writer.add_name(getattr(config, "name_or_path", "") or "merged")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(width)
    writer.add_value_length(width)
    writer.add_rope_dimension_count(width)
    writer.add_rope_freq_base(
        (getattr(config, "rope_parameters", None) or {}).get("rope_theta", 1e4)
    )
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_file_type(1)  # mostly fp16
    if tokenizer.chat_template:
        writer.add_chat_template(tokenizer.chat_template)


def _add_tokenizer(writer: Any, tokenizer: Any, size: int) -> None:
    plain = json.loads(tokenizer.backend_tokenizer.to_str())
    model = plain["model"]
    if model["type"] != "BPE":
        raise ModelError("GGUF is written for byte-level BPE tokenizers alone.")
    words = {index: word for word, index in model["vocab"].items()}
    kinds = dict.fromkeys(words, _NORMAL)
    for token in plain["added_tokens"]:
        words[token["id"]] = token["content"]
        kinds[token["id"]] = _CONTROL if token["special"] else _USER
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_cutting(plain["pre_tokenizer"]))
    writer.add_token_list([words.get(index, f"[unused{index}]") for index in range(size)])
    writer.add_token_types([kinds.get(index, _USER) for index in range(size)])
    writer.add_token_merges(
        [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    )
    for name in ("bos", "eos", "pad", "unk"):
        if (token := getattr(tokenizer, f"{name}_token_id")) is not None:
            getattr(writer, f"add_{name}_token_id")(token)
    writer.add_add_bos_token(False)


def _cutting(plain: dict[str, Any] | None) -> str:
    """The name that llama.cpp has for how a tokenizer cuts text before it merges."""
    parts = (plain or {}).get("pretokenizers", [plain or {}])
    told = [
        (one.get("type"), one.get("individual_digits"), one.get("add_prefix_space"))
        for one in parts
    ]
    regex = bool(parts) and parts[-1].get("use_regex", True)
    if regex and told == [("ByteLevel", None, False)]:
        return "gpt-2"
    if regex and told == [("Digits", True, None), ("ByteLevel", None, False)]:
        return "smollm"
    raise ModelError(
        "How this model's tokenizer cuts text has no name in llama.cpp that is known here; a GGUF "
        "file would answer with other tokens. Export safetensors instead."
    )


def _tensors(model: Any) -> Iterator[tuple[str, Any]]:
    """Yield weights under their own names; q and k in the order that llama.cpp rotates them in."""
    config = model.config
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        kind = name.split(".")[-2]
        yield name, _interleaved(tensor, heads[kind]) if kind in heads else tensor


def _interleaved(tensor: torch.Tensor, heads: int) -> torch.Tensor:
    """From two halves a head, as transformers rotates them, to neighbours."""
    width = tensor.shape[0] // heads
    split = tensor.reshape(heads, 2, width // 2, *tensor.shape[1:])
    return split.transpose(1, 2).reshape(tensor.shape)

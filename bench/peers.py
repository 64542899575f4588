"""What the dataset tools are measured against: a bare parser, a cookbook's checks, another client's."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

# `make bench-data` installs them there: what they depend on must not come in the way of ftctl's own.
PEERS = Path(__file__).parents[1] / "build" / "peers"
sys.path.append(str(PEERS))
COOKBOOK_KEYS = {"role", "content", "name", "function_call", "weight"}
COOKBOOK_ROLES = {"system", "user", "assistant", "function"}


def parser() -> tuple[str, Callable[[bytes], Any]]:
    """orjson, as the measure of a bare parser; without it msgspec stands in."""
    try:
        return "orjson.loads", importlib.import_module("orjson").loads
    except ImportError:
        return "msgspec, untyped", msgspec.json.Decoder().decode


def cookbook(path: Path, count: Callable[[str], int]) -> tuple[int, int]:
    """The checks that OpenAI's cookbook describes, and its token counts, as its reader would write
    them: all rows in memory, every message looked at, every assistant text counted twice.
    """
    with path.open(encoding="utf-8") as stream:
        rows = [json.loads(line) for line in stream]
    errors = tokens = 0
    for row in rows:
        messages = row.get("messages")
        if not isinstance(row, dict) or not messages:
            errors += 1
            continue
        for message in messages:
            errors += "role" not in message or "content" not in message
            errors += any(key not in COOKBOOK_KEYS for key in message)
            errors += message.get("role") not in COOKBOOK_ROLES
            errors += not isinstance(message.get("content"), str)
        errors += not any(message.get("role") == "assistant" for message in messages)
    for row in rows:
        for message in row["messages"]:
            tokens += 3 + sum(count(text) for text in message.values() if isinstance(text, str))
        tokens += 3
    for row in rows:
        for message in row["messages"]:
            if message["role"] == "assistant" and isinstance(message["content"], str):
                count(message["content"])
    return errors, tokens


def tokenizer() -> tuple[Callable[[str], int], str]:
    """tiktoken, as the cookbook has it, with the vocabulary that splintr carries; else splintr."""
    splintr = importlib.import_module("splintr").Tokenizer.from_pretrained("o200k_base")
    try:
        tiktoken = importlib.import_module("tiktoken")
    except ImportError:
        return lambda text: len(splintr.encode_ordinary(text)), "splintr: tiktoken is not installed"
    ranks = {splintr.decode_token_bytes(rank): rank for rank in range(199_998)}
    made = tiktoken.Encoding(
        "o200k", pat_str=O200K_PATTERN, mergeable_ranks=ranks, special_tokens={}
    )
    return lambda text: len(made.encode_ordinary(text)), "tiktoken"


# How o200k_base cuts text before it looks for tokens, as OpenAI publishes it.
_MARKS = r"[^\r\n\p{L}\p{N}]?"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_ENDINGS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
O200K_PATTERN = (
    rf"{_MARKS}{_UPPER}*{_LOWER}+{_ENDINGS}|{_MARKS}{_UPPER}+{_LOWER}*{_ENDINGS}"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def together() -> Callable[[Path], Any] | None:
    """The client's check of a file; where it lies depends on its version. None: not installed."""
    for module in ("together.lib.utils", "together.utils.files"):
        try:
            check: Callable[[Path], Any] = importlib.import_module(module).check_file
        except ImportError:
            continue
        return check
    return None

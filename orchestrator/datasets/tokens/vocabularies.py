"""Which vocabulary a model counts with, and the tokenizer that has it."""

from __future__ import annotations

import base64
import functools
import hashlib
import importlib
import os
import re
import tempfile
from itertools import accumulate, repeat
from operator import contains
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.datasets.extras import has_package
from orchestrator.datasets.tokens.counting import TextCounter
from orchestrator.datasets.tokens.open_models import OpenCounter, model_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.datasets.tokens.counting import TokenCounter

O200K = "o200k_base"
CL100K = "cl100k_base"


class NoTokenizer(Exception):
    """No tokenizer is installed."""


#: Bytes read by one process from which on the quick tokenizer is worth its time to load: 1.2 s
#: more than the usual one takes, before the file is shared out, for 8 ms saved a megabyte.
WORTH_A_QUICK_ONE = 150_000_000


def counter_of(model: str | None = None, *, size: int = 0) -> TokenCounter:
    """The counter for a model.

    Args:
        model: a model's name, or a folder with its tokenizer; None and names that nothing here
            knows count as the newest models do.
        size: bytes that one process will count; many are worth the extra `fast`, if it is there.

    Raises:
        NoTokenizer: the package splintr-rs is not installed.
        ConfigurationError: the packages for the folder of an open model are not installed.
        UsageError: the model is named by a folder that holds no tokenizer.
    """
    if model is not None and (folder := model_folder(model)):
        return OpenCounter(folder, folder.name if folder == Path(model) else model)
    encoding = encoding_of(model) or O200K
    if size >= WORTH_A_QUICK_ONE and encoding == O200K and has_package("fastokens"):
        return _load_quick()
    return _load(encoding)


def encoding_of(model: str | None) -> str | None:
    """The vocabulary of an OpenAI model, tuned, deployed or open; None for any other name."""
    name = (model or "").lower().removeprefix("ft:").removeprefix("openai/")
    return next((encoding for names, encoding in _MODELS if names.match(name)), None)


def doubt_of(model: str | None) -> str | None:
    """Why counts for a model are no more than an estimate; None where they are its own.

    Args:
        model: as it was named; who names none is told the vocabulary beside the count.
    """
    if model is None or model_folder(model) or encoding_of(model):
        return None
    return f"the vocabulary of {model!r} is not known"


# A name ends, or goes on with a date, a size or a suffix: gpt-40 is none of them.
_MODELS = [
    (re.compile(rf"(?:{names})(?![a-z0-9])"), encoding)
    for names, encoding in (
        (r"(?:chat)?gpt-4o|gpt-4\.[15]|gpt-5(?:\.[0-9])?|gpt-oss|o[134]", O200K),
        (r"gpt-3\.5|gpt-35|gpt-4(?!\.)|davinci-002|babbage-002", CL100K),
    )
]


@functools.cache
def _load(encoding: str) -> TokenCounter:
    tokenizer = _splintr(encoding)
    flat, ordinary = tokenizer.encode_flat, tokenizer.encode_ordinary

    def sums(texts: Sequence[str]) -> Sequence[int]:
        """The flat form makes no number of each token, but it reads special tokens as such."""
        if any(map(contains, texts, repeat("|"))) and any(map(contains, texts, repeat("<|"))):
            return list(accumulate(map(len, map(ordinary, texts)), initial=0))
        return [each >> 2 for each in accumulate(map(len, map(flat, texts)), initial=0)]

    # What is no token makes it build the table of merges, once: processes forked later share it.
    flat("xqzvwkj")
    return TextCounter(sums, encoding)


@functools.cache
def _load_quick() -> TokenCounter:
    """The extra `fast`, with the vocabulary that splintr carries; its bytes are checked."""
    decode = _splintr(O200K).decode_token_bytes
    ranks = (b"%s %d\n" % (base64.b64encode(decode(rank)), rank) for rank in range(_O200K_RANKS))
    vocabulary = b"".join(ranks)
    if hashlib.sha256(vocabulary).hexdigest() != _O200K_DIGEST:
        return _load(O200K)
    # Processes share the work; threads of its own would be in the way, and lost in a fork.
    os.environ.setdefault("FASTOKENS_BPE_THREADS", "1")  # noqa: TID251 - it is told no other way
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "o200k_base.tiktoken"
        path.write_bytes(vocabulary)
        native = importlib.import_module("fastokens._native")
        encode = native.Tokenizer.from_tiktoken(str(path), encoding=O200K).encode_batch_flat

    def sums(texts: Sequence[str]) -> Sequence[int]:
        _, before = encode(texts, split_special_tokens=True)
        return memoryview(before).cast("Q").tolist()

    return TextCounter(sums, O200K)


# The digest of the file that OpenAI publishes.
_O200K_RANKS = 199_998
_O200K_DIGEST = "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"


def _splintr(encoding: str) -> Any:
    try:
        from splintr import Tokenizer
    except ImportError as error:
        raise NoTokenizer("the package splintr-rs is not installed") from error
    return Tokenizer.from_pretrained(encoding)

"""The tokenizer: byte-level BPE with single digits, trained on the corpus, with a chat template.

    python tokenizer.py OUT --seed 11

Every piece of text between special tokens starts with a space inside (and loses it when decoded),
so that a word is the same token at the start of a turn as in the middle of one.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from corpus import first_document
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

if TYPE_CHECKING:
    from collections.abc import Iterator

PAD, END = "<|pad|>", "<|end|>"
ROLES = ("system", "user", "assistant", "tool")
SPECIAL = (PAD, END, *(f"<|{role}|>" for role in ROLES))
VOCABULARY = 3072
POSITIONS = 2048
TEMPLATE = Path(__file__).parents[1] / "ftctl_worker/base_models/tiny/chat_template.jinja"


def train(seed: int, documents: int = 60_000) -> PreTrainedTokenizerFast:
    """A tokenizer trained on the first documents of the corpus at all stages of its curriculum."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.ByteLevel(add_prefix_space=True),
            pre_tokenizers.Digits(individual_digits=True),
        ]
    )
    bpe.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Strip(" ", 1, 0)])
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator(texts(seed, documents), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=[f"<|{role}|>" for role in ROLES],
        chat_template=TEMPLATE.read_text(encoding="utf-8"),
        model_max_length=POSITIONS,
        clean_up_tokenization_spaces=False,
    )


def texts(seed: int, documents: int) -> Iterator[str]:
    """The contents of the documents' messages."""
    for index in range(documents):
        for message in first_document(seed, index, index / documents):
            yield message["content"]


def main() -> None:
    """Train and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=11)
    args = parser.parse_args()
    train(args.seed).save_pretrained(args.out)


if __name__ == "__main__":
    main()

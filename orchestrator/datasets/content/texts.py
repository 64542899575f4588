"""What the texts of a row hold that should not be learned: tokens, characters, secrets."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from orchestrator.datasets.content.secrets import leaks_in
from orchestrator.datasets.findings.finding import Flaw
from orchestrator.datasets.records import ImagePart, RefusalPart

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from orchestrator.datasets.records import Answer, Message

SPECIAL_TOKEN = re.compile(
    r"<\|(?:endoftext|endofprompt|im_start|im_end|im_sep|fim_prefix|fim_middle|fim_suffix|start|end"
    r"|message|channel|return|call|eot_id|begin_of_text|end_of_text|start_header_id"
    r"|end_header_id|diff_marker|constrain|startoftext)\|>"
)
# Without \\b and \\f, which JSON has short escapes for: the quick look sees only long ones.
CONTROL = re.compile("[\x00-\x07\x0b\x0e-\x1f\x7f]")
INVISIBLE = re.compile(
    "[\x80-\x84\x86-\x9f\u200b\u2060-\u2064\u202a-\u202e\u2066-\u2069\ufeff\U000e0000-\U000e007f]"
)
# What UTF-8 looks like after it was read as Windows-1252.
MOJIBAKE = re.compile("[ÃÂ][\x80-\xbf€‚ƒ„…†‡ˆ‰Š‹Œž‘’“”•–—˜™š›œŸ]|â€[\x80-\xbf™œ“”¦¢˜\x9d]|ï»¿|ðŸ")


def texts_of(message: Message | Answer) -> list[str]:
    """Every text in a message's content, in order; images and absent content give none."""
    content = message.content
    if isinstance(content, str):
        return [content]
    if not isinstance(content, list):
        return []
    return [
        part.refusal if isinstance(part, RefusalPart) else part.text
        for part in content
        if not isinstance(part, ImagePart)
    ]


def content_flaws(message: Message | Answer, where: str, role: str) -> Iterator[Flaw]:
    """What is wrong with the texts of one message.

    Args:
        message: the typed message.
        where: its pointer.
        role: its role.
    """
    pointer = f"{where}/content"
    for text in texts_of(message):
        yield from text_flaws(text, pointer, role)


def text_flaws(text: str, pointer: str, role: str) -> Iterator[Flaw]:
    """What is wrong with one text, whatever message it stands in."""
    if not text.strip():
        if role in {"user", "system", "developer"}:
            yield Flaw("message-empty", pointer, {"role": role})
        return
    if role in {"user", "assistant"} and (text[0] <= " " or text[-1] <= " "):
        yield Flaw("edge-whitespace", pointer)
    if "<|" in text and (token := SPECIAL_TOKEN.search(text)):
        yield Flaw("special-token", pointer, {"found": token.group()})
    if control := CONTROL.search(text):
        yield Flaw("control-in-text", pointer, {"found": ord(control.group())})
    if not text.isascii():
        yield from _beyond_ascii(text, pointer)
    for code, found in leaks_in(text):
        yield Flaw(code, pointer, {"found": found})


def _beyond_ascii(text: str, pointer: str) -> Iterator[Flaw]:
    if hidden := INVISIBLE.search(text):
        yield Flaw("invisible-character", pointer, {"found": ord(hidden.group())})
    if garbled := MOJIBAKE.search(text):
        yield Flaw("mojibake", pointer, {"found": repr(garbled.group())})
    if not unicodedata.is_normalized("NFC", text):
        yield Flaw("not-nfc", pointer)


def are_unremarkable(texts: Sequence[str]) -> bool:
    """Whether texts surely have none of the flaws of characters beyond ASCII.

    Looks at those characters alone, side by side: what stood apart may look like a flaw then, and
    what was one looks like it still.
    """
    beyond = b"".join([text.encode() for text in texts if not text.isascii()])
    rest = beyond.translate(None, _ASCII).decode()
    return not rest or (
        not _REMARKABLE.search(rest)
        and not MOJIBAKE.search(rest)
        and unicodedata.is_normalized("NFC", rest)
    )


_ASCII = bytes(range(0x80))
# Marks that make one character with an ASCII letter before them are all in one block.
_REMARKABLE = re.compile(INVISIBLE.pattern[:-1] + "\u0300-\u036f]")

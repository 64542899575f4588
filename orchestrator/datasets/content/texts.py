"""What the texts of a row hold that should not be learned: tokens, characters, secrets."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from msgspec import UNSET

from orchestrator.datasets.content.secrets import leaks_in
from orchestrator.datasets.findings.finding import Flaw
from orchestrator.datasets.records import Answer, Assistant, ImagePart, RefusalPart

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from orchestrator.datasets.records import Message

SPECIAL_TOKEN = re.compile(
    r"<\|(?:endoftext|endofprompt|im_start|im_end|im_sep|fim_prefix|fim_middle|fim_suffix|start|end"
    r"|message|channel|return|call|eot_id|begin_of_text|end_of_text|start_header_id"
    r"|end_header_id|diff_marker|constrain|startoftext|system|user|assistant)\|>"
    r"|<(?:start|end)_of_turn>|\[/?INST\]|<</?SYS>>|<\uff5c[^<>]{1,40}\uff5c>|\A<s>|</s>\Z"
)
_TOKEN_MARKS = ("<|", "_of_turn>", "INST]", "SYS>>", "<\uff5c", "<s>", "</s>")
CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
# A tab that took the place of a backslash and a letter of LaTeX.
_LATEX_TAB = re.compile(r"\t(?=heta\b|imes\b|ext\{)")
INVISIBLE = re.compile(
    "[\x80-\x84\x86-\x9f\u200b\u2060-\u2064\u202a-\u202e\u2066-\u2069\ufeff\U000e0000-\U000e007f]"
)
# What UTF-8 looks like after it was read as Windows-1252: a letter of Western Europe, of Cyrillic
# or Greek (twice, for Ñ is a letter, too), of East Asia (twice); and what stands for lost bytes.
_REST = "[\x80-\xbf€‚ƒ„…†‡ˆ‰Š‹ŒŽž‘’“”•–—˜™š›œŸ]"
# The first character alone comes first: `re` finds it quickly.
MOJIBAKE = re.compile(
    f"[ÃÂÎÏÐÑà-ð\ufffd](?:(?<=[ÃÂ]){_REST}|(?<=â)€[\x80-\xbf™œ“”¦¢˜\x9d]|(?<=ï)»¿|(?<=ð)Ÿ|(?<=\ufffd)"
    f"|(?<=[ÎÏÐÑ]){_REST}[ÎÏÐÑ]{_REST}|(?<=[à-ï]){_REST}{{2}}[à-ï]{_REST}{{2}})"
)


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
    content, pointer = message.content, f"{where}/content"
    if isinstance(content, str):
        yield from text_flaws(content, pointer, role)
    elif isinstance(content, list):
        shows = any(isinstance(part, ImagePart) for part in content)
        if role in _ASKING and not shows and not "".join(texts_of(message)).strip():
            yield Flaw("message-empty", pointer, {"role": role})
        for number, part in enumerate(content):
            if isinstance(part, RefusalPart):
                yield from _said(part.refusal, f"{pointer}/{number}/refusal")
            elif not isinstance(part, ImagePart):
                yield from _said(part.text, f"{pointer}/{number}/text")
    if isinstance(message, Assistant | Answer):
        for text, key in _beside(message):
            yield from _said(text, f"{where}/{key}")


def text_flaws(text: str, pointer: str, role: str) -> Iterator[Flaw]:
    """What is wrong with the one text of a message."""
    if not text.strip():
        if role in _ASKING:
            yield Flaw("message-empty", pointer, {"role": role})
        return
    if role in {"user", "assistant"} and (text[0].isspace() or text[-1].isspace()):
        yield Flaw("edge-whitespace", pointer)
    yield from _said(text, pointer)


_ASKING = frozenset({"user", "system", "developer"})


def _beside(message: Assistant | Answer) -> Iterator[tuple[str, str]]:
    """What an assistant writes outside of its content, each with its pointer in the message."""
    if message.refusal:
        yield message.refusal, "refusal"
    if message.function_call:
        yield message.function_call.arguments, "function_call/arguments"
    if message.tool_calls is not UNSET:
        for number, call in enumerate(message.tool_calls):
            yield call.function.arguments, f"tool_calls/{number}/function/arguments"


def _said(text: str, pointer: str) -> Iterator[Flaw]:
    """What is wrong with the characters and the words of a text, wherever it stands."""
    if any(map(text.__contains__, _TOKEN_MARKS)) and (token := SPECIAL_TOKEN.search(text)):
        yield Flaw("special-token", pointer, {"found": token.group()})
    if control := CONTROL.search(text) or ("\t" in text and _LATEX_TAB.search(text)):
        mend = _LATEX if control.group() in "\b\f\t" else "Remove it."
        yield Flaw("control-in-text", pointer, {"found": ord(control.group()), "mend": mend})
    if not text.isascii():
        yield from _beyond_ascii(text, pointer)
    for code, found in leaks_in(text):
        yield Flaw(code, pointer, {"found": found})


_LATEX = "Write its backslash twice if it is LaTeX (\\\\begin, \\\\frac, \\\\theta), or remove it."


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

"""Keys, tokens and personal data in a text: a short table of patterns, each hit verified."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_SECRETS: tuple[tuple[str, re.Pattern[str]], ...] = (
    (
        "an OpenAI or Anthropic API key",
        re.compile(r"\bsk-(?:proj-|ant-|svcacct-)?[A-Za-z0-9_-]{20,}"),
    ),
    ("an AWS access key", re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b")),
    ("a GitHub token", re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{40,})")),
    ("a Hugging Face token", re.compile(r"\bhf_[A-Za-z0-9]{30,}")),
    ("a GitLab token", re.compile(r"\bglpat-[A-Za-z0-9_-]{20,}")),
    ("a Google API key", re.compile(r"\bAIza[A-Za-z0-9_-]{35}")),
    ("a Slack token", re.compile(r"\bxox[abprs]-[A-Za-z0-9-]{15,}")),
    ("a Stripe key", re.compile(r"\b[sr]k_live_[A-Za-z0-9]{20,}")),
    ("a JSON Web Token", re.compile(r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.")),
    ("a private key", re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----")),
)
# One pass decides whether any of the patterns above can match at all.
_HINT = re.compile(
    r"sk-|AKIA|ASIA|gh[pousr]_|github_pat_|hf_|glpat-|AIza|xox[abprs]-|k_live_|eyJ|-----BEGIN"
)
_MAIL = re.compile(r"\b[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}\b")
_CARD = re.compile(r"(?<![\w-])\d(?:[ -]?\d){12,18}(?![\w-])")


def leaks_in(text: str) -> Iterator[tuple[str, str]]:
    """Each kind of secret or personal datum once: the finding's code, and what it looks like."""
    if _HINT.search(text):
        for words, pattern in _SECRETS:
            if pattern.search(text):
                yield "secret", words
                break
    if "@" in text and _MAIL.search(text):
        yield "personal-data", "an e-mail address"
    elif _may_hold_card(text.encode("utf-8", "replace")) and any(
        _is_card(match.group()) for match in _CARD.finditer(text)
    ):
        yield "personal-data", "a payment card number"


def may_leak(line: bytes) -> bool:
    """Whether a line deserves a closer look; quick, and wrong only on the careful side."""
    return b"@" in line or _LONG_RUN in line.translate(_RUNS) or _may_hold_card(line)


def _may_hold_card(line: bytes) -> bool:
    return _CARD_DIGITS in line.translate(_DIGITS, b" -")


# Every key and token has twenty characters of these in a row; prose has not.
_WORD = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
_RUNS = bytes(97 if byte in _WORD else 32 for byte in range(256))
_LONG_RUN = b"a" * 20
# Every digit becomes 9, spaces and hyphens vanish: a card number is then thirteen nines or more.
_DIGITS = bytes.maketrans(b"012345678", b"999999999")
_CARD_DIGITS = b"9" * 13


def _is_card(found: str) -> bool:
    digits = [int(character) for character in found if character.isdigit()]
    if found[0] not in "23456" or len(set(digits)) < 2 or len(digits) < 13:
        return False
    doubled = [digit * 2 - 9 * (digit > 4) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0

"""Keys, tokens and personal data in a text: a short table of patterns, each hit verified."""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Pattern(NamedTuple):
    """One kind of secret.

    Attributes:
        words: what it is.
        expression: for `re` and RE2 alike; what `verify` sees is its first group, or all of it.
        hint: a literal without which there is no match.
        verify: whether a match is meant to be secret.
    """

    words: str
    expression: str
    hint: str
    verify: Callable[[str], bool]


def leaks_in(text: str) -> Iterator[tuple[str, str]]:
    """Each kind of secret or personal datum once: the finding's code, and what it looks like."""
    for pattern, compiled in _COMPILED:
        if pattern.hint in text and any(
            pattern.verify(match.group(match.lastindex or 0)) for match in compiled.finditer(text)
        ):
            yield "secret", pattern.words
            break
    for words, personal, verify in _PERSONAL:
        if (_DIGITS if verify is not _is_mail else _AT).search(text) and any(
            verify(match) for match in personal.finditer(text)
        ):
            yield "personal-data", words
            break


_AT = re.compile("@")
_DIGITS = re.compile(r"\d(?:[ .()A-Z-]{0,5}\d){5}")


def entropy(text: str) -> float:
    """Shannon entropy of the characters, in bits each."""
    many = len(text)
    return -sum(n / many * math.log2(n / many) for n in Counter(text).values())


_PLACEHOLDER = re.compile(r"(?i)example|placeholder|your[_-]?|xxxx|\*\*\*|dummy|redacted|changeme")


def _is_random(found: str) -> bool:
    """Real keys are drawn at random; placeholders repeat themselves or say what they are."""
    return entropy(found) >= 3.0 and not _PLACEHOLDER.search(found)


def _is_password(found: str) -> bool:
    return len(set(found)) > 3 and not _PLACEHOLDER.search(found) and found[0] not in "<{$["


def _always(_found: str) -> bool:
    return True


SECRETS: tuple[Pattern, ...] = (
    Pattern(
        "an OpenAI or Anthropic API key",
        r"\bsk-(?:proj-|ant-|svcacct-)?[A-Za-z0-9_-]{20,}",
        "sk-",
        _is_random,
    ),
    Pattern("an AWS access key", r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b", "IA", _is_random),
    Pattern("a GitHub token", r"\bgh[pousr]_[A-Za-z0-9]{36}", "gh", _is_random),
    Pattern("a GitHub token", r"\bgithub_pat_[A-Za-z0-9_]{40,}", "github_pat_", _is_random),
    Pattern("a Hugging Face token", r"\bhf_[A-Za-z0-9]{30,}", "hf_", _is_random),
    Pattern("a GitLab token", r"\bglpat-[A-Za-z0-9_-]{20,}", "glpat-", _is_random),
    Pattern("a Google API key", r"\bAIza[A-Za-z0-9_-]{35}", "AIza", _is_random),
    Pattern("a Slack token", r"\bxox[abprs]-[A-Za-z0-9-]{15,}", "xox", _is_random),
    Pattern("a Stripe key", r"\b[sr]k_live_[A-Za-z0-9]{20,}", "k_live_", _is_random),
    Pattern("a SendGrid key", r"\bSG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}", "SG.", _is_random),
    Pattern("an npm token", r"\bnpm_[A-Za-z0-9]{36}", "npm_", _is_random),
    Pattern("a PyPI token", r"\bpypi-AgE[A-Za-z0-9_-]{50,}", "pypi-", _is_random),
    Pattern("an Azure storage key", r"\bAccountKey=[A-Za-z0-9+/]{80,}", "AccountKey=", _is_random),
    Pattern(
        "a JSON Web Token",
        r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.",
        ".eyJ",
        _is_random,
    ),
    Pattern("a private key", r"-----BEGIN [A-Z ]*PRIVATE KEY-----", "PRIVATE KEY", _always),
    Pattern(
        "a password in an address",
        r"\b[a-z][a-z0-9+]{2,15}://[^\s:/@\"']{1,64}:([^\s:/@\"']{6,64})@[A-Za-z0-9]",
        "://",
        _is_password,
    ),
)
_COMPILED = tuple((pattern, re.compile(pattern.expression)) for pattern in SECRETS)


_IN_ADDRESS = re.compile(r"://[^\s/@]*:$")


def _is_mail(match: re.Match[str]) -> bool:
    """Addresses that no mail reaches are nobody's, and a password before a host is no address."""
    if _IN_ADDRESS.search(match.string, max(0, match.start() - 100), match.start()):
        return False
    return not match.group(1).lower().endswith((".invalid", ".localhost", ".local"))


def _is_card(match: re.Match[str]) -> bool:
    digits = [int(character) for character in match.group() if character.isdigit()]
    if digits[0] not in range(2, 7) or len(set(digits)) < 2:
        return False
    doubled = [digit * 2 - 9 * (digit > 4) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _is_iban(match: re.Match[str]) -> bool:
    plain = match.group().replace(" ", "")
    if not 15 <= len(plain) <= 34:
        return False
    return int("".join(str(int(each, 36)) for each in plain[4:] + plain[:4])) % 97 == 1


def _is_phone(match: re.Match[str]) -> bool:
    """Numbers of 8 to 15 digits; 555-01xx is kept for films and examples."""
    digits = "".join(filter(str.isdigit, match.group()))
    if not 8 <= len(digits) <= 15 or len(set(digits)) < 3:
        return False
    return "5550" not in digits[-8:] and digits[-10:] not in _EXAMPLE_PHONES


_EXAMPLE_PHONES = frozenset({"1234567890", "2345678901", "5551234567"})

_PERSONAL: tuple[tuple[str, re.Pattern[str], Callable[[re.Match[str]], bool]], ...] = (
    (
        "an e-mail address",
        re.compile(
            r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9][A-Za-z0-9._%+-]{0,63}"
            r"@((?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24})\b"
        ),
        _is_mail,
    ),
    (
        "a payment card number",
        re.compile(r"(?<![\w.+-])\d(?:[ -]?\d){12,18}(?![\w-])"),
        _is_card,
    ),
    (
        "a bank account number",
        re.compile(r"\b[A-Z]{2}\d{2} ?(?:[A-Z0-9]{4} ?){2,7}[A-Z0-9]{1,4}\b"),
        _is_iban,
    ),
    (
        "a telephone number",
        re.compile(
            r"(?<![\w+.])(?:\+\d{1,3}(?:[ .-]?\(?\d{1,4}\)?){2,6}"
            r"|\(\d{3}\) \d{3}-\d{4}|\d{3}-\d{3}-\d{4})(?![\w-])"
        ),
        _is_phone,
    ),
)

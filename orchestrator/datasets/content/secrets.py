"""Keys, tokens and personal data in a text: a short table of patterns, each hit verified."""

from __future__ import annotations

import math
import re
import string
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
    *(
        Pattern("a GitHub token", rf"\bgh{kind}_[A-Za-z0-9]{{36}}", f"gh{kind}_", _is_random)
        for kind in "pousr"
    ),
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


def _is_mail(match: re.Match[str]) -> bool:
    """Names kept for examples (RFC 2606) are nobody's; a password before a host is no address."""
    before = match.string[max(0, match.start() - 165) : match.start()]
    rest = before.rstrip(_OF_MAILBOXES)
    mailbox = before[len(rest) :]
    if len(mailbox) > 64 or not mailbox[0].isalnum() or _IN_ADDRESS.search(rest[-100:]):
        return False
    return not _NOBODYS.search(match.group(1).lower())


_OF_MAILBOXES = string.ascii_letters + string.digits + "._%+-"
_IN_ADDRESS = re.compile(r"://[^\s/@]*:$")
_NOBODYS = re.compile(
    r"(?:^|\.)example\.(?:com|net|org)$|\.(?:example|invalid|local|localhost|test)$"
)


def _is_card(match: re.Match[str]) -> bool:
    """Of an issuer's range and length (ISO/IEC 7812), in the groups cards have, with its check digit."""
    digits = "".join(filter(str.isdigit, match.group()))
    if not _ISSUED.fullmatch(digits) or len(set(digits)) < 2:
        return False
    numbers = list(map(int, digits))
    doubled = [number * 2 - 9 * (number > 4) for number in numbers[-2::-2]]
    return (sum(numbers[-1::-2]) + sum(doubled)) % 10 == 0


# Visa, Mastercard, American Express, Diners, Discover, JCB, UnionPay.
_ISSUED = re.compile(
    r"4\d{15}|(?:5[1-5]\d\d|2(?:2[2-9]|[3-6]\d|7[01])\d|2720)\d{12}|3[47]\d{13}"
    r"|3(?:0[0-5]|[689]\d)\d{11}|6(?:011|4[4-9]\d|5\d\d)\d{12}|35(?:2[89]|[3-8]\d)\d{12}|62\d{14}(?:\d{3})?"
)


def _is_iban(match: re.Match[str]) -> bool:
    plain = match.group().replace(" ", "")
    if not 15 <= len(plain) <= 34:
        return False
    return int("".join(str(int(each, 36)) for each in plain[4:] + plain[:4])) % 97 == 1


def _is_phone(match: re.Match[str]) -> bool:
    """A number that a plan of numbers allows, and that is not kept for films and examples."""
    found = match.group()
    digits = "".join(filter(str.isdigit, found.replace("(0)", "")))
    if not found.startswith("+"):
        digits = f"1{digits}"
    elif "." in found and not _COUNTRY.fullmatch(found[1:].split(".")[0]):
        return False  # +2.55112945 is a number with a fraction.
    return bool(_PLANNED.fullmatch(digits)) and not _FICTIONAL.match(digits)


# Country codes that are given out (ITU-T E.164), longest first.
_COUNTRY = re.compile(
    r"2(?:1[12368]|[2-4]\d|5[0-8]|6\d|9[01789])|3(?:5\d|7[0-8]|8[0-35-79])|42[013]|5(?:0\d|9\d)"
    r"|6(?:7[02-9]|8[0-35-9]|9[0-2])|8(?:00|08|5[02356]|7[08]|8[0136])|9(?:6[0-8]|7[0-79]|9[2-68])"
    r"|20|27|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|[17]"
)
# North America and Russia say where each digit may stand; others have nine to fifteen in all.
_PLANNED = re.compile(
    rf"1[2-9]\d\d[2-9]\d{{6}}|7[3-9]\d{{9}}|(?![17])(?=\d{{9,15}}$)(?:{_COUNTRY.pattern})[1-9]\d*|390\d{{6,11}}"
)
# Kept for films and examples: North America's 555, and the ranges of Ofcom.
_FICTIONAL = re.compile(r"1\d{3}555|12345678901|447700900|442079460|441632960")

# Each starts with a character that `re` finds quickly; what stands before it is looked at then.
_PERSONAL: tuple[tuple[str, re.Pattern[str], Callable[[re.Match[str]], bool]], ...] = (
    (
        "an e-mail address",
        re.compile(r"@(?<=[A-Za-z0-9._%+-]@)((?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24})\b"),
        _is_mail,
    ),
    (
        "a payment card number",
        re.compile(
            r"\d(?<![\w.+*/-]\d)"
            r"(?:\d{12,18}|\d{3}(?:([ -])\d{4}(?:\1\d{4}){2}|([ -])\d{6}\2\d{4,5}))(?![\w*/-]|\.\d)"
        ),
        _is_card,
    ),
    (
        "a bank account number",
        re.compile(r"[A-Z](?<!\w[A-Z])[A-Z]\d{2} ?(?:[A-Z0-9]{4} ?){2,7}[A-Z0-9]{1,4}\b"),
        _is_iban,
    ),
    (
        "a telephone number",
        re.compile(
            r"[+(\d](?<![\w.+][+(\d])(?:(?<=\+)\d{1,3}(?:[ .-]?\(?\d{1,4}\)?){2,6}"
            r"|(?<!-[(\d])(?:(?<=\()\d{3}\) |(?<=\d)\d{2}-)\d{3}-\d{4})(?![\w-]|\.\d)"
        ),
        _is_phone,
    ),
)

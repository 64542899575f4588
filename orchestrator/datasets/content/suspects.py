"""Which lines deserve a closer look: one quick pass over many, wrong only on the careful side.

With the extra `secrets` one automaton of RE2 looks for everything at once; without it a few
searches of bytes do, at half the speed.
"""

from __future__ import annotations

import functools
import importlib
import re
from itertools import chain
from typing import TYPE_CHECKING, Any

from orchestrator.datasets.content.secrets import SECRETS
from orchestrator.datasets.extras import has_package

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    #: Of lines, the numbers of some of them, from 0.
    Look = Callable[[bytes], Collection[int]]

# Some writers escape < and >.
_LESS, _MORE = r"(?:<|\\u003[cC])", r"(?:>|\\u003[eE])"
_OPENED = rf"\||/?s{_MORE}|\xef\xbd\x9c|\\uff5c"
_TOKEN = rf"{_LESS}(?:{_OPENED})|_of_turn{_MORE}|SYS{_MORE}|INST\]"
# After a backslash: LaTeX that was read as an escape; ASCII of which careful writers write < > & '.
_LATEX = r"(?:[bf]|t(?:heta|imes|ext\{))"
_ESCAPE = r"u00(?:[014567]|2[0-589a-fA-F]|3[0-9abdfABDF])"
# A word boundary before a key may be hidden by an escape (\nAKIA...), so none is asked for.
_EXPRESSIONS = (
    *(pattern.expression.replace(r"\b", "") for pattern in SECRETS),
    r"[A-Za-z0-9._%+-]@[A-Za-z0-9-]+\.[A-Za-z]",
    # No escape ends with one of these, so a number after them is not a card's.
    r"(?:^|[^.+*-])[2-6](?:[0-9]{12}|[0-9]{3}[ -](?:[0-9]{4}[ -][0-9]{4}[ -]|[0-9]{6}[ -])[0-9]{4})",
    r"[A-Z]{2}[0-9]{2} ?[A-Z0-9]{4} ?[A-Z0-9]{4} ?[A-Z0-9]",
    r"\+[1-9](?:[ .()-]{0,2}[0-9]){7}",
    r"[0-9]{3}(?:\) |-)[0-9]{3}-[0-9]{4}",
    _TOKEN,
    # An even number of other backslashes stands before.
    rf"(?:^|[^\\])(?:\\\\)*\\(?:{_LATEX}|{_ESCAPE})",
)


@functools.cache
def looker() -> Look:
    """What finds the lines that deserve a closer look."""
    if not has_package("re2"):
        return suspects
    re2 = importlib.import_module("re2")
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.never_capture = True
    whole = "|".join(f"(?:{expression})" for expression in _EXPRESSIONS)
    search = re2.compile(whole.encode("latin-1"), options).search
    return lambda lines: set(_where(search, lines))


def suspects(lines: bytes) -> Collection[int]:
    """The same without RE2: by what starts something, runs of letters, and numbers however written."""
    runs, digits = lines.translate(_RUNS), lines.translate(_DIGITS, b" -()+.")
    found = {*chain.from_iterable(_where(start.search, lines) for start in _STARTS)}
    found.update(_where(_EIGHT_DIGITS.search, digits))
    each = lines.split(b"\n")
    for number in {*_where(_LONG_RUN.search, runs)} - found:
        if any(map(each[number].__contains__, _HINTS)):
            found.add(number)
    return found


def _where(search: Callable[[bytes, int], Any], lines: bytes) -> Iterator[int]:
    """The number of every line in which something is found, from 0; the last may have no line feed."""
    start = number = 0
    while found := search(lines, start):
        last = found.end() - 1
        number += lines.count(b"\n", start, last)
        yield number
        start = lines.find(b"\n", last) + 1
        if not start:
            return
        number += 1


# Each starts with a character that `re` finds quickly.
_STARTS = [
    re.compile(expression.encode("latin-1"))
    for expression in (
        r"@(?<=[A-Za-z0-9._%+-]@)[A-Za-z0-9-]+\.[A-Za-z]",
        r"://[^\s:/@\"']+:[^\s:/@\"']",
        "PRIVATE KEY",
        rf"<(?:{_OPENED})",
        rf"_of_turn{_MORE}",
        rf"SYS{_MORE}",
        r"INST\]",
        # An escape: an even number of backslashes stands before it.
        rf"\\(?<!\\\\)(?:\\\\)*(?:{_LATEX}|{_ESCAPE}|u003[cC](?:{_OPENED}))",
    )
]
# Every key and token has twenty characters of these in a row; prose has not.
_WORD = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
_RUNS = bytes(97 if byte in _WORD else 10 if byte == 10 else 32 for byte in range(256))
_HINTS = {pattern.hint.encode() for pattern in SECRETS} - {b"://"}
_LONG_RUN = re.compile(b"a" * 18)
# Every digit becomes 9; spaces, hyphens and brackets vanish: numbers become runs of nines.
_DIGITS = bytes.maketrans(b"012345678", b"999999999")
_EIGHT_DIGITS = re.compile(b"9" * 8)

"""Whether a raw line deserves a closer look: one quick pass, wrong only on the careful side.

With the extra `secrets` one automaton of RE2 looks for everything at once; without it a few
translations and searches of bytes do, at half the speed.
"""

from __future__ import annotations

import functools
import importlib
import re
from typing import TYPE_CHECKING

from orchestrator.datasets.content.secrets import SECRETS
from orchestrator.datasets.extras import has_package

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Some writers escape < and >.
_LESS, _MORE = r"(?:<|\\u003[cC])", r"(?:>|\\u003[eE])"
_TOKEN = rf"{_LESS}(?:\||/?s{_MORE}|\xef\xbd\x9c|\\uff5c)|_of_turn{_MORE}|SYS{_MORE}|INST\]"
# A backslash of LaTeX that was read as an escape: an even number of others stands before.
_LATEX = r"(?:^|[^\\])(?:\\\\)*\\(?:[bf]|t(?:heta|imes|ext\{))"
# Escaped ASCII: only < > & ' are written so by careful writers.
_ESCAPE = r"\\u00(?:[014567]|2[0-589a-fA-F]|3[0-9abdfABDF])"
# A word boundary before a key may be hidden by an escape (\nAKIA...), so none is asked for.
_EXPRESSIONS = (
    *(pattern.expression.replace(r"\b", "") for pattern in SECRETS),
    r"[A-Za-z0-9._%+-]@[A-Za-z0-9-]+\.[A-Za-z]",
    r"[2-6](?:[ -]?[0-9]){12}",
    r"[A-Z]{2}[0-9]{2} ?[A-Z0-9]{4} ?[A-Z0-9]{4}",
    r"\+[0-9](?:[ .()-]{0,2}[0-9]){7}",
    r"[0-9]{3}\)? ?-?[0-9]{3}-[0-9]{4}",
    _TOKEN,
    _LATEX,
    _ESCAPE,
)


@functools.cache
def looker() -> Callable[[bytes], object]:
    """What says whether a line deserves a closer look; truth is yes."""
    if not has_package("re2"):
        return may_hold_anything
    re2 = importlib.import_module("re2")
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.never_capture = True
    automaton = re2.Set.SearchSet(options)
    for expression in _EXPRESSIONS:
        automaton.Add(expression.encode("latin-1"))
    automaton.Compile()
    look: Callable[[bytes], object] = automaton.Match
    return look


def may_hold_anything(line: bytes) -> bool:
    """The same question without RE2: by single bytes, then by runs of them."""
    if b"@" in line or b"://" in line:
        return True
    runs = line.translate(_RUNS)
    if _LONG_RUN in runs or b"PRIVATE KEY" in line:
        return True
    if _CARD in line.translate(_DIGITS, b" -()+."):
        return True
    return any(each.search(line) for each in _worth_a_search(line))


def _worth_a_search(line: bytes) -> Iterator[re.Pattern[bytes]]:
    """The expressions of whose matches some piece is there."""
    for expression, pieces in _PIECES:
        if any(piece in line for piece in pieces):
            yield expression


_PIECES = (
    (
        re.compile(_TOKEN.encode("latin-1")),
        (
            b"<|",
            b"\\u003",
            b"_of_turn",
            b"INST]",
            b"<s>",
            b"</s>",
            b"SYS>",
            b"<\xef\xbd\x9c",
            b"<\\uff",
        ),
    ),
    (re.compile(_LATEX.encode()), (b"\\b", b"\\f", b"\\theta", b"\\times", b"\\text{")),
    (re.compile(_ESCAPE.encode()), (b"\\u00",)),
)
# Every key and token has twenty characters of these in a row; prose has not.
_WORD = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
_RUNS = bytes(97 if byte in _WORD else 32 for byte in range(256))
_LONG_RUN = b"a" * 18
# Every digit becomes 9; spaces, hyphens and brackets vanish: numbers become runs of nines.
_DIGITS = bytes.maketrans(b"012345678", b"999999999")
_CARD = b"9" * 8

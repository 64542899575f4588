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
    from collections.abc import Callable

# A word boundary before a key may be hidden by an escape (\nAKIA...), so none is asked for.
_EXPRESSIONS = (
    *(pattern.expression.replace(r"\b", "") for pattern in SECRETS),
    r"[A-Za-z0-9._%+-]@[A-Za-z0-9-]+\.[A-Za-z]",
    r"[2-6](?:[ -]?[0-9]){12}",
    r"[A-Z]{2}[0-9]{2} ?[A-Z0-9]{4} ?[A-Z0-9]{4}",
    r"\+[0-9](?:[ .()-]{0,2}[0-9]){7}",
    r"[0-9]{3}\)? ?-?[0-9]{3}-[0-9]{4}",
    r"<\|",
    # Escaped ASCII: only < > & ' are written so by careful writers.
    r"\\u00(?:[014567]|2[0-589a-fA-F]|3[0-9abdfABDF])",
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
        automaton.Add(expression.encode())
    automaton.Compile()
    look: Callable[[bytes], object] = automaton.Match
    return look


def may_hold_anything(line: bytes) -> bool:
    """The same question without RE2: by single bytes, then by runs of them."""
    if b"@" in line or b"://" in line or b"<|" in line:
        return True
    if b"\\u" in line and _ESCAPES.search(line):
        return True
    runs = line.translate(_RUNS)
    if _LONG_RUN in runs or (b"PRIVATE KEY" in line):
        return True
    return _CARD in line.translate(_DIGITS, b" -()+.")


_ESCAPES = re.compile(_EXPRESSIONS[-1].encode())
# Every key and token has twenty characters of these in a row; prose has not.
_WORD = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
_RUNS = bytes(97 if byte in _WORD else 32 for byte in range(256))
_LONG_RUN = b"a" * 18
# Every digit becomes 9; spaces, hyphens and brackets vanish: numbers become runs of nines.
_DIGITS = bytes.maketrans(b"012345678", b"999999999")
_CARD = b"9" * 8

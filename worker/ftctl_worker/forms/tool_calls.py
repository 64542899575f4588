"""Tool calls in the text of a model, read while it comes. Text that is no such call stays text."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from ftctl_worker import strictjson
from ftctl_worker.ids import new_id

if TYPE_CHECKING:
    from collections.abc import Collection

    from ftctl_worker.forms.call_styles import CallStyle

__all__ = ["CallReader", "split_calls"]

_SPACE = re.compile(r"\s*")
_NEXT = re.compile(r"[\s;,]*(?=\{)")
_DECODER = json.JSONDecoder()
Call = dict[str, Any]


class CallReader:
    """Splits an answer into text and calls; wherever it is cut, the same comes out.

    Text is given back as soon as it cannot be the beginning of a call. Where one call cannot be
    read, everything stays text: half a turn would mislead.
    """

    def __init__(
        self, style: CallStyle, names: Collection[str] = (), *, several: bool = True
    ) -> None:
        """Read calls of ``style``; ``names`` are the tools offered, ``several`` allows some."""
        self._style = style
        self._names = names
        self._several = several
        self._openings = tuple(one for one in style.openings if one)
        self._held = ""
        self._said = False
        self._open = False

    def feed(self, piece: str) -> str:
        """Take the next piece, and return the text that is certain."""
        self._held += piece
        if self._open:
            return ""
        certain = self._certain()
        text, self._held = self._held[:certain], self._held[certain:]
        self._said = self._said or bool(text)
        return text

    def end(self) -> tuple[str, list[Call]]:
        """Return the rest of the text, and the calls as the API has them."""
        found = self._read() if self._open else None
        if found is None:
            return self._held, []
        text, calls = found
        return text, calls if self._several else calls[:1]

    def _certain(self) -> int:
        """Return how much of what is held is text; blanks in front of a call are not."""
        held, begin = self._held, len(self._held)
        if self._style.may_be_bare and not self._said:
            start = held.lstrip()
            if start.startswith("{"):
                self._open = True
            if not start or self._open:
                return 0
        found = [at for one in self._openings if (at := held.find(one)) >= 0]
        if found:
            self._open = True
            begin = min(found)
        else:
            begin -= max((_overlap(held, one) for one in self._openings), default=0)
        return len(held[:begin].rstrip())

    def _read(self) -> tuple[str, list[Call]] | None:
        held, outside, at = self._held, "", _skip(self._held, 0)
        bare = not held.startswith(self._openings, at)
        calls: list[Call] = []
        while at < len(held):
            start, after = (at, at) if bare and not calls else self._opening(at)
            outside += held[at:start]
            if start == len(held):
                break
            found, at = self._body(after)
            if not found or (bare and not self._are_offered(found)):
                return None
            calls += found
        # Blanks between calls are none of the text.
        return (outside if outside.strip() else ""), [_with_id(one) for one in calls]

    def _opening(self, at: int) -> tuple[int, int]:
        """Return where the next opening begins and ends; the end of the text where there is none."""
        found = [(self._held.find(one, at), len(one)) for one in self._openings]
        here = [(start, start + length) for start, length in found if start >= 0]
        return min(here, default=(len(self._held), len(self._held)))

    def _body(self, at: int) -> tuple[list[Call], int]:
        """Return the calls after an opening, none where they cannot be read, and where they end."""
        held, style = self._held, self._style
        at = _skip(held, at)
        named = re.compile(style.named).match(held, at) if style.named else None
        if named:
            value, end = _json(held, named.end())
            calls = [_call(named[1], value)] if isinstance(value, dict) else []
        else:
            calls, end = _objects(held, at)
        end = _skip(held, end)
        if style.closer and held.startswith(style.closer, end):
            return calls, end + len(style.closer)
        ends = end == len(held) or held.startswith(self._openings, end)
        return (calls if ends else []), end

    def _are_offered(self, calls: list[Call]) -> bool:
        return all(one["function"]["name"] in self._names for one in calls)


def split_calls(text: str, style: CallStyle, names: Collection[str] = ()) -> tuple[str, list[Call]]:
    """Return the text outside of tool calls, and the calls as the API has them."""
    reader = CallReader(style, names)
    before = reader.feed(text)
    rest, calls = reader.end()
    return before + rest, calls


def _overlap(text: str, opening: str) -> int:
    """Return how many characters at the end of a text begin ``opening``."""
    longest = min(len(opening) - 1, len(text))
    return next((size for size in range(longest, 0, -1) if text.endswith(opening[:size])), 0)


def _skip(text: str, at: int) -> int:
    blanks = _SPACE.match(text, at)
    return blanks.end() if blanks else at


def _json(text: str, at: int) -> tuple[object, int]:
    """Return the JSON value at a place and where it ends; None where there is none."""
    try:
        _, end = _DECODER.raw_decode(text, at)
        return strictjson.loads(text[at:end]), end
    except (ValueError, RecursionError):
        return None, at


def _objects(text: str, at: int) -> tuple[list[Call], int]:
    """Read objects beside each other, or in lists; return their calls, none where one is no call."""
    calls: list[Call] = []
    while True:
        value, at = _json(text, at)
        read = [_from_object(one) for one in (value if isinstance(value, list) else [value])]
        found = [one for one in read if one is not None]
        if not found or len(found) < len(read):
            return [], at
        calls += found
        more = _NEXT.match(text, at)
        if more is None:
            return calls, at
        at = more.end()


def _from_object(given: object) -> Call | None:
    if not isinstance(given, dict) or not isinstance(given.get("name"), str):
        return None
    return _call(given["name"], given.get("arguments", given.get("parameters", {})))


def _call(name: str, arguments: object) -> Call:
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return {"type": "function", "function": {"name": name, "arguments": text}}


def _with_id(call: Call) -> Call:
    return {"id": new_id("call_"), **call}

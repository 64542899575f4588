"""Several rows known to be plain at one look, for less than half of what a look at each costs.

Their texts are encoded once, and what is left of the lines has exactly the length of the keys that
must be there: no key can be there twice, and none beside them. What is not accepted here is looked
at closely, so being too careful costs time and never a finding.
"""

from __future__ import annotations

import functools
from itertools import chain, compress, filterfalse
from operator import attrgetter, methodcaller
from typing import TYPE_CHECKING, Any

import msgspec

from orchestrator.datasets.records import (
    ROLES,
    Answer,
    Assistant,
    Chat,
    Developer,
    System,
    User,
)
from orchestrator.domain.jobs.job import Method

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from orchestrator.datasets.records import Message, Preference, Reinforcement

    Measure = Callable[[tuple[type, ...]], int]

#: How a line starts whose writer puts a space after every comma and colon.
SPACED = b'{"messages": [{"role": "'
_encode_into = msgspec.json.Encoder().encode_into
_contents = attrgetter("content")
_is_spaced_chat = methodcaller("startswith", SPACED)
_is_spaced_pair = methodcaller("startswith", b'{"input": ' + SPACED)
# A buffer shrinks to what it holds: small and large batches would grow it anew each time.
_texts_buffer, _rows_buffer = bytearray(), bytearray()


def texts_of_chats(
    turns: Sequence[Sequence[Message]], lines: Sequence[bytes], measure: Measure
) -> list[str] | None:
    """The texts of rows that surely are plain turns, none of them blank; None says nothing.

    Args:
        turns: the messages of each row.
        lines: the bytes they were read from, without line ends.
        measure: of such rows.
    """
    around = bytes_around(turns, measure)
    texts = _texts(chain.from_iterable(turns)) if around else None
    if texts is None:
        return None
    spare = _spare(lines, around)
    if spare and all(map(_is_spaced_chat, lines)):
        spare -= 4 * len(texts)
    return texts if not spare or _are_escapes(spare, turns, lines) else None


def texts_of_pairs(
    rows: Sequence[Preference], lines: Sequence[bytes], measure: Measure
) -> list[str] | None:
    """The same of preference pairs without tools, whose two answers differ."""
    asked = [row.input.messages for row in rows]
    around = bytes_around(asked, measure)
    if not around:
        return None
    answers = [(*row.preferred_output, *row.non_preferred_output) for row in rows]
    turns = [(*messages, *pair) for messages, pair in zip(asked, answers, strict=True)]
    texts = _texts(chain.from_iterable(turns))
    if texts is None or any(one.content == other.content for one, other in answers):
        return None
    spare = _spare(lines, around)
    if spare and all(map(_is_spaced_pair, lines)):
        spare -= 4 * len(texts) + 3 * len(rows)
    return texts if not spare or _are_escapes(spare, turns, lines) else None


def texts_of_prompts(
    rows: Sequence[Reinforcement], lines: Sequence[bytes], measure: Measure
) -> list[str] | None:
    """The same of prompts without tools, whatever other keys their rows have."""
    turns = [row.messages for row in rows]
    around = bytes_around(turns, measure)
    if not around or any(row.tools is not msgspec.UNSET for row in rows):
        return None
    texts = _texts(chain.from_iterable(turns))
    if texts is None or not _holds_nothing_else(turns, around):
        return None
    # The records leave out the keys they do not know.
    try:
        values = list(map(_decode, lines))
    except (ValueError, RecursionError):
        return None
    if any(map(_has_long_number, lines)) or not _is_canonical(values, lines):
        return None
    return texts


def has_single_keys(line: bytes) -> bool:
    """Whether a line surely holds no key twice, at any depth; False says nothing."""
    try:
        return not _has_long_number(line) and _is_canonical([_decode(line)], [line])
    except (ValueError, RecursionError):
        return False


def bytes_around(turns: Sequence[Sequence[Message]], measure: Measure) -> int:
    """The fewest bytes around the texts of rows, in one list of them; 0 when one is not in order.

    Args:
        turns: the messages of each row.
        measure: tells it of one row with such roles.
    """
    known = _measured.setdefault(measure, {})
    rows = [tuple(map(type, messages)) for messages in turns]
    try:
        around = [known[roles] for roles in rows]
    except KeyError:
        if len(known) > _MOST_REMEMBERED:
            known.clear()
        known.update({roles: measure(roles) for roles in set(rows)})
        around = [known[roles] for roles in rows]
    return 0 if 0 in around else sum(around)


_measured: dict[object, dict[tuple[type, ...], int]] = {}
_MOST_REMEMBERED = 1000


@functools.cache
def measure_of(method: Method, roles: frozenset[str] | None) -> Measure:
    """What tells the fewest bytes around the texts of one row; 0 when its turns are not in order.

    Args:
        method: what the rows are for.
        roles: that the target takes; None where it names none.
    """
    first = {role for role in (System, Developer) if roles is None or ROLES[role] in roles}
    last = Assistant if method is Method.SUPERVISED else User

    def measure(turns: tuple[type, ...]) -> int:
        said = turns[1:] if turns[0] in first else turns
        if not said or set(said[::2]) != {User} or not set(said[1::2]) <= {Assistant}:
            return 0
        return _of[method](turns) if turns[-1] is last else 0

    return measure


def _of_a_chat(roles: tuple[type, ...]) -> int:
    return _length(Chat(messages=_empty(roles))) - 3 * len(roles) + 1


def _of_a_pair(roles: tuple[type, ...]) -> int:
    answers = [Answer(role="assistant", content="")]
    pair = {
        "input": {"messages": _empty(roles)},
        "preferred_output": answers,
        "non_preferred_output": answers,
    }
    return _length(pair) - 3 * (len(roles) + 2) + 1


def _of_a_prompt(roles: tuple[type, ...]) -> int:
    return _length(_empty(roles)) - 3 * len(roles) + 1


_of = {
    Method.SUPERVISED: _of_a_chat,
    Method.DPO: _of_a_pair,
    Method.REINFORCEMENT: _of_a_prompt,
}


def _empty(roles: tuple[type, ...]) -> list[Message]:
    return [role(content="") for role in roles]


def _length(value: object) -> int:
    return len(msgspec.json.encode(value))


def _texts(messages: Iterable[Message | Answer]) -> list[str] | None:
    """The texts of messages, encoded into the buffer; None when one is blank or no text."""
    texts: list[Any] = list(map(_contents, messages))
    try:
        # The least of all texts starts with the least of all characters.
        if min(texts) < "!" and not all(map(str.strip, texts)):
            return None
    except TypeError:  # Parts, or no content at all.
        return None
    _encode_into(texts, _texts_buffer)
    # What is blank and starts with no ASCII character has none that is not blank.
    is_said = _texts_buffer.isascii() or all(map(str.strip, filterfalse(str.isascii, texts)))
    return texts if is_said else None


def _holds_nothing_else(values: Sequence[object], around: int) -> bool:
    """Whether records hold the texts in the buffer, and nothing beside them."""
    _encode_into(values, _rows_buffer)
    return len(_rows_buffer) == len(_texts_buffer) + around


def _is_canonical(values: Sequence[object], lines: Sequence[bytes]) -> bool:
    """Whether lines hold what they were read as, and no key twice; spaces do not matter."""
    _encode_into(values, _rows_buffer)
    stripped = msgspec.json.format(b"[%s]" % b",".join(lines), indent=-1)
    spare = len(stripped) - len(_rows_buffer)
    if not spare or _rows_buffer.isascii():
        return not spare
    escaped = map(bytes.isascii, lines)
    _encode_into(list(compress(values, escaped)), _rows_buffer)
    return spare == escapes([_rows_buffer.decode()])


def _spare(lines: Sequence[bytes], around: int) -> int:
    """The bytes of lines beyond those of the texts in the buffer and of the keys there must be."""
    # Where one list of all texts has a comma, a file has a line feed: all but one.
    return sum(map(len, lines)) + len(lines) - len(_texts_buffer) - around + 1


def _are_escapes(
    spare: int, turns: Sequence[Sequence[Message | Answer]], lines: Sequence[bytes]
) -> bool:
    """Whether so many bytes are what escapes add where characters beyond ASCII must be escapes."""
    if _texts_buffer.isascii():
        return False
    rows = compress(turns, map(bytes.isascii, lines))
    return spare == escapes(list(map(_contents, chain.from_iterable(rows))))


def escapes(texts: Sequence[str]) -> int:
    """How many more bytes characters beyond ASCII take as escapes than as UTF-8."""
    beyond = "".join(filterfalse(str.isascii, texts)).encode()
    firsts = beyond.translate(None, _NO_FIRST_BYTE)
    of_four = len(firsts.translate(None, _FIRST_OF_TWO_OR_THREE))
    of_two = len(firsts.translate(None, _FIRST_OF_THREE_OR_FOUR))
    of_three = len(firsts) - of_two - of_four
    return (6 - 2) * of_two + (6 - 3) * of_three + (12 - 4) * of_four


_NO_FIRST_BYTE = bytes(range(0xC0))
_FIRST_OF_TWO_OR_THREE = bytes(range(0xC0, 0xF0))
_FIRST_OF_THREE_OR_FOUR = bytes(range(0xE0, 0x100))


def _number(text: str) -> msgspec.Raw:
    """A number as it stands, so that it is written back the same."""
    if float(text) in {float("inf"), float("-inf")}:
        raise ValueError(text)
    return msgspec.Raw(text.encode())


_decode = msgspec.json.Decoder(float_hook=_number).decode


def _has_long_number(line: bytes) -> bool:
    """Whether a line may hold a whole number beyond a double: the decoder takes any."""
    return len(line) > len(_LONG_NUMBER) and _LONG_NUMBER in line.translate(_DIGITS)


_LONG_NUMBER, _DIGITS = b"9" * 300, bytes.maketrans(b"012345678", b"999999999")

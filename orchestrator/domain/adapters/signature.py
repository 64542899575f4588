"""Standard Webhooks: how a message says who sent it, and when.

HMAC-SHA256 over `id.timestamp.body` with the bytes behind `whsec_`; the header holds one or more
`v1,BASE64`, and a receiver may hold several secrets, so that either side can change its own
(https://github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING

from orchestrator.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
TOLERANCE = timedelta(seconds=300)
_PREFIX = "whsec_"
_FEWEST_BYTES = 16
# More signatures than this are no rotation, but somebody's wish to keep us busy.
_MOST_SIGNATURES = 16
_AN_ID = re.compile(r"[\x21-\x7e]{1,255}")
_A_TIME = re.compile(r"[0-9]{1,11}")


class Doubt(Enum):
    """Why a message is not believed."""

    MALFORMED = "malformed"  #: a header is missing, or is no such header
    FORGED = "forged"  #: no secret of ours made one of its signatures
    STALE = "stale"  #: too old or too new: perhaps a recording


def secrets_of(text: str, where: str) -> tuple[bytes, ...]:
    """The keys in a text: one `whsec_...`, or several with blanks or commas between them.

    Raises:
        ConfigurationError: one is no such secret. The message does not hold it.
    """
    return tuple(_key(word, where) for word in text.replace(",", " ").split())


def signed(key: bytes, message_id: str, at: datetime, body: bytes) -> dict[str, str]:
    """The three headers of a message."""
    stamp = str(int(at.timestamp()))
    mark = base64.b64encode(_digest(key, message_id, stamp, body)).decode()
    return {ID: message_id, TIMESTAMP: stamp, SIGNATURE: f"v1,{mark}"}


def doubt(
    keys: Sequence[bytes], headers: Mapping[str, str], body: bytes, now: datetime
) -> Doubt | None:
    """Why a message is not to be believed; None when it is.

    Args:
        keys: every secret that is good now.
        headers: by lower-case name.
        body: the bytes as they came.
        now: to tell how old it is.
    """
    message_id, stamp = headers.get(ID, ""), headers.get(TIMESTAMP, "")
    given = headers.get(SIGNATURE, "").split(" ")[:_MOST_SIGNATURES]
    if not _AN_ID.fullmatch(message_id) or not _A_TIME.fullmatch(stamp) or given == [""]:
        return Doubt.MALFORMED
    marks = [mark for each in given if (mark := _mark(each)) is not None]
    wanted = [_digest(key, message_id, stamp, body) for key in keys]
    # Every pair is compared, each in constant time, so that the time tells nothing.
    if not sum(hmac.compare_digest(mark, good) for mark in marks for good in wanted):
        return Doubt.FORGED
    if abs(now - datetime.fromtimestamp(int(stamp), UTC)) > TOLERANCE:
        return Doubt.STALE
    return None


def _digest(key: bytes, message_id: str, stamp: str, body: bytes) -> bytes:
    return hmac.digest(key, f"{message_id}.{stamp}.".encode() + body, hashlib.sha256)


def _mark(text: str) -> bytes | None:
    version, _, mark = text.partition(",")
    if version != "v1":
        return None
    try:
        return base64.b64decode(mark, validate=True)
    except (binascii.Error, ValueError):
        return None


def _key(text: str, where: str) -> bytes:
    try:
        key = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not text.startswith(_PREFIX) or len(key) < _FEWEST_BYTES:
        raise ConfigurationError(
            f"What {where} holds is not a webhook secret: whsec_ and at least"
            f" {_FEWEST_BYTES} bytes in base64.",
            hint='echo "whsec_$(openssl rand -base64 32)" makes one',
        )
    return key

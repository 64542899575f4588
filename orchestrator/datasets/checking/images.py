"""What an image of a row is: an address that can be fetched, or bytes a host can see."""

from __future__ import annotations

import base64
import binascii
import re

_MOST_BYTES = 10_000_000
_INLINE = re.compile(r"data:(?P<kind>[^;,]*)(?P<coded>;base64)?,", re.IGNORECASE)
_KNOWN = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
_OTHERS = ((b"GIF8", "a GIF"), (b"BM", "a BMP"), (b"%PDF", "a PDF"), (b"<", "SVG or HTML"))


def image_reason(url: str) -> str | None:
    """Why no host can use an image; None when nothing speaks against it.

    OpenAI and Azure take PNG, JPEG and WEBP of 10 MB at most (their vision fine-tuning guides).

    Args:
        url: an http or https address, or a data URI.
    """
    if re.match(r"https?://[^/\s]", url, re.IGNORECASE):
        return None
    inline = _INLINE.match(url)
    if inline is None:
        return "it is neither an http address nor a data URI"
    if not inline["coded"]:
        return "its data URI is not marked as base64"
    try:
        content = base64.b64decode(url[inline.end() :], validate=True)
    except (binascii.Error, ValueError):
        return "its data are not base64"
    return _unseen(content)


def _unseen(content: bytes) -> str | None:
    if not content:
        return "it has no data"
    if not content.startswith(_KNOWN) and not (content[:4] == b"RIFF" and content[8:12] == b"WEBP"):
        names = (name for head, name in _OTHERS if content.startswith(head))
        return f"it is {next(names, 'something else')}, not PNG, JPEG or WEBP"
    if len(content) > _MOST_BYTES:
        return f"it has {len(content)} bytes; 10 MB is the most"
    return None

"""HTML that is safe by construction: whatever is not markup already is escaped.

There is no template language, and no way to write text into a page but through `h`.
"""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING

from orchestrator.reports.words import harmless

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypeAlias

    Child: TypeAlias = "Html | str | int | float | Iterable[Child] | None"

# A path on this server, a query or a place on the page: no other scheme, no other host.
_LOCAL = re.compile(r"(?:/(?![/\\])|[?#])[^\\\x00-\x20]*|/")
_ADDRESSES = frozenset({"href", "src", "action", "data-live"})
_ACTING = ("on", "style", "srcdoc", "formaction")
_VOID = frozenset({"br", "hr", "input", "link", "meta"})


class Html(str):
    """Text that is markup already; made by `h`, and by renderers that escape for themselves."""

    __slots__ = ()


def h(name: str, /, *children: Child, **attributes: str | int | bool | None) -> Html:
    """An element.

    Args:
        name: of the element.
        children: markup as it is, everything else as text; None is nothing.
        attributes: an underscore at the end is dropped, others are hyphens; None and False leave
            the attribute out, True names it alone.

    Raises:
        ValueError: an address leads elsewhere, or an attribute would act.
    """
    start = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _VOID:
        return Html(f"<{name}{start}>")
    return Html(f"<{name}{start}>{join(children)}</{name}>")


def join(children: Iterable[Child]) -> Html:
    """Several pieces after each other."""
    return Html("".join(_child(each) for each in children))


def clipped(text: object, most: int) -> str:
    """The text, at most so many characters of it; still to be escaped."""
    whole = str(text)
    return whole if len(whole) <= most else f"{whole[:most]}… ({len(whole):,} characters)"


def _child(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, Html):
        return child
    if isinstance(child, str | int | float):
        return escape(harmless(child))
    return join(child)


def _attribute(key: str, value: str | int | bool | None) -> str:
    name = key.rstrip("_").replace("_", "-")
    if value is None or value is False:
        return ""
    if name.startswith(_ACTING):
        raise ValueError(f"the attribute {name} would act")
    if value is True:
        return f" {name}"
    if name in _ADDRESSES and not _LOCAL.fullmatch(str(value)):
        raise ValueError(f"{name} leads elsewhere")
    return f' {name}="{escape(harmless(value))}"'

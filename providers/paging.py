"""Lists come in pages. All of them, or an error: a list cut short must not look complete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.domain.errors import ProviderUnreachable
from providers.answers import is_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Page = Mapping[str, Any]


def every_item(
    fetch: Callable[[str | None], Page], *, what: str, limit: int | None
) -> Iterator[Mapping[str, Any]]:
    """Every item of a list, each id once, in the order it came.

    Args:
        fetch: one page; its argument is the id of the last item of the page before.
        what: whose list, for error messages.
        limit: how many items a page was asked to hold; None where all were asked for at once.

    Raises:
        ProviderUnreachable: the list cannot be read to its end.
    """
    seen: set[str] = set()
    after: str | None = None
    while True:
        page = fetch(after)
        ids = [_id(item, what) for item in items(page, what)]
        new = [item for item in page["data"] if item["id"] not in seen]
        if ids and not new:
            raise ProviderUnreachable(f"{what} repeats a page instead of going on.")
        for item in new:
            if item["id"] not in seen:
                seen.add(item["id"])
                yield item
        if not has_more(page, limit):
            return
        if not ids:
            raise ProviderUnreachable(f"{what} promises more and sends an empty page.")
        after = ids[-1]


def items(page: Page, what: str) -> list[Any]:
    """What a page holds.

    Raises:
        ProviderUnreachable: it is not a page.
    """
    data = page.get("data")
    if not isinstance(data, list):
        raise ProviderUnreachable(f"{what} came without a list in it.")
    return data


def has_more(page: Page, limit: int | None) -> bool:
    """What the page says; where it says nothing, a full page promises another."""
    said = page.get("has_more")
    return said if isinstance(said, bool) else len(page["data"]) == limit


def _id(item: Any, what: str) -> str:
    found = item.get("id") if isinstance(item, dict) else None
    if not isinstance(found, str) or not is_id(found):
        raise ProviderUnreachable(f"{what} holds an entry without an id.")
    return found

"""Every page, or an error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from orchestrator.domain.errors import ProviderUnreachable
from providers.paging import every_item
from tests.providers.rig import over

Pages = dict[str | None, dict[str, Any]]


def ids(pages: Pages, limit: int = 2) -> list[str]:
    fetch: Callable[[str | None], dict[str, Any]] = pages.__getitem__
    return [item["id"] for item in every_item(fetch, what="The list", limit=limit)]


def page(*names: str, more: Any = False) -> dict[str, Any]:
    return {"data": [{"id": name} for name in names], "has_more": more}


def test_follows_the_last_id_and_gives_each_once():
    assert ids({None: page("a", "b", more=True), "b": page("b", "c")}) == ["a", "b", "c"]


def test_where_nothing_is_said_a_full_page_promises_another():
    pages = {None: {"data": [{"id": "a"}, {"id": "b"}]}, "b": {"data": [{"id": "c"}]}}
    assert ids(pages) == ["a", "b", "c"]


@pytest.mark.parametrize(
    "pages",
    [
        {None: page("a", "b", more=True), "b": page("a", "b", more=True)},
        {None: page(more=True)},
        {None: page("a", more=True), "a": page(more=True)},
        {None: {"data": None}},
        {None: {}},
        {None: {"data": [{"name": "no id"}]}},
        {None: {"data": ["text"]}},
    ],
    ids=["repeats", "empty", "empty later", "null", "no data", "no id", "no objects"],
)
def test_a_list_that_cannot_be_read_to_its_end_is_an_error(pages: Pages):
    with pytest.raises(ProviderUnreachable):
        ids(pages)


def test_events_beyond_the_first_page_of_a_host_that_cannot_turn_it():
    """Ids change between calls, so the second page is refused; one long page is asked for."""
    limits: list[str] = []

    def answer(call: httpx2.Request) -> httpx2.Response:
        limits.append(call.url.params["limit"])
        if "after" in call.url.params:
            error = {"message": "Given after argument was not found in items"}
            return httpx2.Response(400, json={"error": error})
        count = min(int(call.url.params["limit"]), 150)
        data = [
            {"id": f"e{len(limits)}-{n}", "created_at": 1000 + n, "message": str(n)}
            for n in range(count)
        ]
        return httpx2.Response(200, json={"data": data, "has_more": count < 150})

    events = over(answer).events("ftjob-1")
    assert [event.message for event in events] == [str(n) for n in range(150)]
    assert limits[-1] == "1000"

"""`ftctl dataset` over a store with two files."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from orchestrator.domain.jobs.dataset import Dataset

if TYPE_CHECKING:
    from tests.conftest import Ftctl

ROW = '{"messages": [{"role": "user", "content": "%s"}, {"role": "assistant", "content": "a"}]}\n'


@pytest.fixture
def digests(ftctl: Ftctl) -> list[str]:
    assert ftctl("db", "upgrade").code == 0
    app = ftctl.app()
    made = []
    for number, content in enumerate((ROW % "x" + ROW % "y", ROW % "y" + ROW % "z")):
        path = ftctl.home / f"{number}.jsonl"
        path.write_text(content)
        digest = hashlib.sha256(content.encode()).hexdigest()
        app.datasets.keep(
            Dataset(
                digest=digest,
                bytes=len(content),
                rows=2,
                source=path.name,
                created_at=datetime(2026, 11, 20 - number, tzinfo=UTC),
            ),
            path,
        )
        made.append(digest)
    app.close()
    return made


def test_the_store_is_listed_newest_first(ftctl: Ftctl, digests: list[str]) -> None:
    assert [each["digest"] for each in ftctl("dataset", "list", "--json").json] == digests
    assert digests[0][:12] in ftctl("dataset", "list").out


def test_one_dataset_is_shown_by_a_prefix(ftctl: Ftctl, digests: list[str]) -> None:
    shown = ftctl("dataset", "show", digests[1][:8], "--rows", "2", "--json").json
    assert [row["messages"][0]["content"] for row in shown["first_rows"]] == ["y", "z"]
    assert ftctl("dataset", "show", "nothing").code == 2
    assert ftctl("dataset", "show", digests[0][:8]).code == 0


def test_the_difference_is_rows(ftctl: Ftctl, digests: list[str]) -> None:
    done = ftctl("dataset", "diff", digests[0][:8], digests[1][:8], "--json")
    assert done.code == 1
    assert done.json["common"] == 1
    assert [each["line"] for each in done.json["removed"]] == [1]
    assert [each["line"] for each in done.json["added"]] == [2]
    assert ftctl("dataset", "diff", digests[0], digests[0]).code == 0

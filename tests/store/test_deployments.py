"""The store of deployments: one intent a name, one writer a version, history that stays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from orchestrator.domain.clock import ManualClock
from orchestrator.domain.errors import Conflict, UsageError
from orchestrator.domain.ids import new_id
from orchestrator.domain.jobs.deployment import DeploymentState, Served, serving
from orchestrator.store import database
from orchestrator.store.datasets import SqlDatasetStore
from orchestrator.store.deployments import SqlDeploymentStore
from orchestrator.store.jobs import SqlJobStore
from tests.factories import a_dataset, a_deployment, a_job

NOW = ManualClock().now()


@pytest.fixture
def store(ledger_url: str, tmp_path: Path) -> Iterator[SqlDeploymentStore]:
    """The same suite over both databases."""
    engine = database.open_database(ledger_url)
    content = tmp_path / "content"
    content.write_bytes(b"{}\n")
    SqlDatasetStore(engine, tmp_path / "datasets").keep(a_dataset(), content)
    SqlJobStore(engine).add(a_job(id="0123456789ab"))
    yield SqlDeploymentStore(engine)
    engine.dispose()


def test_what_is_written_is_read(store: SqlDeploymentStore):
    made = a_deployment(ends_at=NOW + timedelta(hours=24), raw={"a": [1]})
    store.add(made)
    assert store.get(made.id) == made
    assert store.find(made.name) == store.find(made.id[:6]) == store.find("0123") == [made]
    assert store.named(made.resource, made.name) == made
    with pytest.raises(UsageError):
        store.get("nowhere")


def test_a_name_stands_for_one_intent_until_that_is_over(store: SqlDeploymentStore):
    first = a_deployment()
    store.add(first)
    with pytest.raises(Conflict):
        store.add(a_deployment())
    store.add(a_deployment(resource="another"))
    store.change(first, NOW, "gone", DeploymentState.DELETED)
    again = a_deployment()
    store.add(again)
    assert store.named(again.resource, again.name) == again


def test_of_two_writers_one_is_told(store: SqlDeploymentStore):
    made = a_deployment()
    store.add(made)
    store.change(made, NOW, "first", DeploymentState.ACCEPTED)
    with pytest.raises(Conflict):
        store.change(made, NOW, "second", DeploymentState.UNKNOWN)
    assert store.get(made.id).state is DeploymentState.ACCEPTED


def test_what_is_over_stays_over(store: SqlDeploymentStore):
    made = a_deployment()
    store.add(made)
    gone = store.change(made, NOW, "gone", DeploymentState.DELETED)
    with pytest.raises(Conflict):
        store.change(gone, NOW, "back", DeploymentState.SUCCEEDED)


def test_a_hint_is_no_change(store: SqlDeploymentStore):
    made = a_deployment()
    store.add(made)
    store.checked([made.id], NOW)
    assert store.get(made.id) == replace(made, checked_at=NOW)


def test_what_answers_for_a_model_is_read_when_it_is_asked_for():
    asked: list[int] = []

    def known() -> dict[str, str]:
        asked.append(1)
        standing = {"state": DeploymentState.SUCCEEDED}
        return serving(
            [
                a_deployment(id=new_id(), name="newer", **standing),
                a_deployment(id=new_id(), name="older", **standing),
                a_deployment(id=new_id(), name="made", model="m2"),
                a_deployment(id=new_id(), name="theirs", provider="other", model="m3", **standing),
            ],
            "azure",
        )

    served = Served({"said": "by-the-profile"}, known)
    assert served["said"] == "by-the-profile"
    assert not asked
    assert served[a_deployment().model] == "newer"
    assert dict(served) == {"said": "by-the-profile", a_deployment().model: "newer"}
    assert len(asked) == 1

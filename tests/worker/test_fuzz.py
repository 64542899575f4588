"""A part of what ``python -m tests.worker.fuzz`` does, in seconds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import httpx2
from ftctl_worker.api.app import build_app
from ftctl_worker.api.guard import OpenRequests
from starlette.routing import Route

from tests.worker.fuzz import fuzz
from tests.worker.servers import Worker


def test_what_the_description_forbids_is_refused_and_nothing_breaks(
    worker: Worker, tmp_path: Path
) -> None:
    # Bodies of jobs and chats have thousands of places; test_mutations.py takes the most telling.
    small = r"^/(files|models|uploads|fine_tuning/jobs/)"
    found = fuzz(worker, tmp_path, phases="coverage", examples=1, seed=1, only=small)
    assert found.complaint == ""
    assert found.server_errors == 0
    assert found.answers[400] > 20, found.report()


def test_without_a_token_there_is_nothing_but_401(worker: Worker, tmp_path: Path) -> None:
    found = fuzz(worker, tmp_path, phases="fuzzing", examples=2, seed=1, token="wrong")
    assert set(found.answers) == {401}, found.report()
    assert found.answers.total() > 26


def test_of_every_route_there_is_only_health_needs_no_token(worker: Worker) -> None:
    anything: Any = Mock()
    routes = build_app(anything, anything, OpenRequests()).routes
    statuses = {}
    with httpx2.Client(trust_env=False) as client:
        for route in routes:
            assert isinstance(route, Route)
            url = worker.url.removesuffix("/v1") + re.sub(r"\{[^}]*\}", "x", route.path)
            for method in route.methods or ():
                for headers in ({}, {"Authorization": "Bearer wrong"}):
                    answer = client.request(method, url, headers=headers)
                    statuses[route.path, method, len(headers)] = answer.status_code
    assert {key[0] for key, status in statuses.items() if status != 401} == {"/health"}
    assert len(statuses) > 60

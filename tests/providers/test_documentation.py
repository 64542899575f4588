"""The page on adding a provider says what is so."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from orchestrator.domain.jobs.job import JobStatus
from providers.simulator import Fault, Simulator
from tests.providers.rig import KEY, profile, request, write_rows

PAGE = (Path(__file__).parents[2] / "docs" / "adding-a-provider.md").read_text("utf-8")


def test_its_example_is_a_provider(tmp_path: Path):
    code = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0]
    names: dict[str, Any] = {}
    exec(compile(code, "adding-a-provider.md", "exec"), names)
    with Simulator() as sim:
        provider = names["build"](profile("acme", sim.url, tmp_path))
        file = provider.upload(write_rows(tmp_path), "rows.jsonl")
        asked = request()
        job = provider.create_job(replace(asked, training_file=file.id))
        assert (job.status, job.token) == (JobStatus.QUEUED, asked.token)
        assert (provider.kind, KEY in provider.account) == ("acme", False)
        provider.close()


def test_it_names_every_fault():
    assert not [fault.value for fault in Fault if f"`{fault.value}`" not in PAGE]

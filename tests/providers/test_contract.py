"""Every provider of ours keeps the contract; an outside distribution runs the same suite."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pytest

from providers.testing import ProviderContract, Rig
from tests.providers.rig import inside, simulated

ROOT = Path(__file__).parents[2]
RIGS: dict[str, Callable[[Path], AbstractContextManager[Rig]]] = {
    "openai": partial(simulated, "openai", "openai"),
    "azure": partial(simulated, "azure", "azure"),
    "azure, dated": lambda folder: simulated(
        "azure", "azure-dated", folder, api_version="2024-10-21"
    ),
    "peft": partial(simulated, "peft", "worker"),
    "compatible": partial(simulated, "compatible", "openai"),
    "compatible, token in the suffix": lambda folder: simulated(
        "compatible", "bare", folder, metadata=False, suffix_limit=40, checkpoints=False
    ),
    "compatible, token in the file's name": lambda folder: simulated(
        "compatible", "bare", folder, metadata=False, suffix_limit=8, checkpoints=False
    ),
    "simulator": partial(simulated, "simulator", "openai"),
    "simulator in the process": inside,
}


class TestOurs(ProviderContract):
    @pytest.fixture(params=RIGS)
    def rig(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
        with RIGS[request.param](tmp_path) as made:
            yield made


OUTSIDE = {
    "ftctl_acme/__init__.py": """
from orchestrator.domain.jobs.job import JobStatus
from orchestrator.domain.provider import Capabilities
from providers.connection import address, required_key
from providers.dialect import Dialect
from providers.wire import WireProvider

WORDS = {
    "validating_files": JobStatus.QUEUED, "queued": JobStatus.QUEUED,
    "running": JobStatus.RUNNING, "succeeded": JobStatus.SUCCEEDED,
    "failed": JobStatus.FAILED, "cancelled": JobStatus.CANCELLED,
}
DIALECT = Dialect(kind="acme", capabilities=Capabilities(CAPABILITIES), status_words=WORDS)

def build(profile):
    return WireProvider(DIALECT, profile, address(profile, profile.base_url, required_key(profile)))
""",
    "ftctl_acme-0.1.dist-info/METADATA": "Metadata-Version: 2.1\nName: ftctl-acme\nVersion: 0.1\n",
    "ftctl_acme-0.1.dist-info/entry_points.txt": "[ftctl.providers]\nacme = ftctl_acme:build\n",
    "tests/test_acme.py": """
import providers, pytest
from providers.testing import ProviderContract, simulated

class TestAcme(ProviderContract):
    @pytest.fixture
    def rig(self, tmp_path):
        assert "acme" in providers.kinds()
        with simulated(providers.build, "openai", tmp_path) as made:
            yield made
""",
}


@pytest.mark.parametrize(
    ("capabilities", "passes"), [("suffix_limit=32", True), ("pause=True", False)]
)
def test_an_outside_distribution_runs_the_suite_in_its_own_repository(
    capabilities: str, passes: bool, tmp_path: Path
):
    for name, text in OUTSIDE.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text.replace("CAPABILITIES", capabilities))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "tests"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode == 0) == passes, done.stdout
    assert (" passed" in done.stdout) or not passes

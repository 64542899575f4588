"""A mini model, a shared server and one finished job."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "worker"))

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from tests.worker import servers
from tests.worker.servers import Worker, colour_rows


@pytest.fixture(scope="session")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.worker.mini_model import CALLING_TEMPLATE, DEFAULTS, build_mini_model

    folder = tmp_path_factory.mktemp("models")
    build_mini_model(folder / "mini", defaults=DEFAULTS)
    build_mini_model(folder / "caller", template=CALLING_TEMPLATE, context=1024)
    return folder


@pytest.fixture(scope="session")
def worker(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[Worker]:
    folder = tmp_path_factory.mktemp("worker")
    with servers.running(folder, "--models-dir", str(models_dir)) as running:
        yield running


@pytest.fixture(scope="session")
def tuned_job(worker: Worker) -> Any:
    """A job that has succeeded, with a validation file, a suffix and metadata."""
    job = worker.client.fine_tuning.jobs.create(
        model="mini",
        training_file=worker.upload(colour_rows()),
        validation_file=worker.upload(colour_rows(6)),
        suffix="Colours of things",
        seed=11,
        metadata={"team": "a", "odd key": 'quo"ted'},
        method={
            "type": "supervised",
            "supervised": {"hyperparameters": {"n_epochs": 12, "batch_size": "auto"}},
        },
    )
    return worker.wait_job(job.id)

"""Where trainers run: a child of the server, a job of a Ray cluster, several processes for cards."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from ftctl_worker.errors import ConfigurationError
from ftctl_worker.executors.launching import environment_of
from ftctl_worker.executors.port import Launch
from ftctl_worker.executors.process import ProcessExecutor
from ftctl_worker.executors.ray import RayExecutor
from ftctl_worker.settings import is_sharded

from tests.worker import servers
from tests.worker.servers import Worker, wait_for
from tests.worker.test_engines import start, table
from tests.worker.test_lifetime import trainers


def test_a_process_is_polled_and_stopped(tmp_path: Path) -> None:
    log = tmp_path / "log"
    environment = {"PATH": os.defpath, "PYTHONPATH": str(servers.WORKER)}
    launch = Launch(
        name="job-1",
        arguments=["ftjob-none", "--home", str(tmp_path)],
        environment=environment,
        log=log,
    )
    child = ProcessExecutor().start(launch)
    assert wait_for(lambda: child.poll() is not None)
    assert child.poll() == 1
    assert "is not running" in log.read_text()
    child.stop()


def test_several_cards_get_a_process_each_and_parts_of_the_model_where_asked() -> None:
    whole = environment_of(1, count=4, port=7, shard=False)
    assert (whole["RANK"], whole["WORLD_SIZE"], whole["MASTER_PORT"]) == ("1", "4", "7")
    assert not is_sharded(whole)
    parts = environment_of(1, count=4, port=7, shard=True)
    assert is_sharded(parts)
    # accelerate itself would say the same of the parts.
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser
    from accelerate.utils.launch import prepare_multi_gpu_env

    line = "--num_machines 1 --num_processes 4 --mixed_precision no --dynamo_backend no"
    fsdp = "--use_fsdp --fsdp_version 2 --fsdp_auto_wrap_policy TRANSFORMER_BASED_WRAP"
    kept = "--fsdp_state_dict_type FULL_STATE_DICT -m any"
    options = launch_command_parser().parse_args(f"{line} {fsdp} {kept}".split())
    theirs = prepare_multi_gpu_env(_validate_launch_command(options)[0])
    own = {name: value for name, value in parts.items() if name not in whole}
    assert own == {name: theirs[name] for name in own}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"gpus": 2}, "use the engine trl"),
        ({"gpus": 2, "engine": "trl"}, "has 0 cards, not 2"),
        ({"gpus": 0}, "from 1 to 64"),
    ],
)
def test_cards_that_are_not_there_are_refused(
    worker: Worker, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=said):
        start(worker, given.pop("engine", "peft"), **given)


def test_without_ray_its_executor_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray.job_submission", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'ftctl-worker\[ray\]'"):
        RayExecutor("http://127.0.0.1:1")


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """A Ray cluster of one node on loopback."""
    pytest.importorskip("ray", reason="pip install 'ray[default]' to try the executor")
    # Ray makes sockets in it, whose paths must stay below 108 bytes; pytest's own folder is too deep.
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:
        yield from _cluster(folder)


def _cluster(folder: str) -> Iterator[str]:
    ports = [_free_port() for _ in range(3)]
    ray = [sys.executable, "-m", "ray.scripts.scripts"]
    environment = {**os.environ, "PYTHONPATH": str(servers.WORKER), "RAY_USAGE_STATS_ENABLED": "0"}
    node = subprocess.Popen(
        [
            *(*ray, "start", "--head", "--block", "--num-cpus", "2"),
            *("--port", str(ports[0]), "--dashboard-port", str(ports[1])),
            *("--node-ip-address", "127.0.0.1", "--ray-client-server-port", str(ports[2])),
            *("--temp-dir", folder),
        ],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_for(lambda: _answers(ports[1]), seconds=120)
        yield f"http://127.0.0.1:{ports[1]}"
    finally:
        os.killpg(node.pid, signal.SIGTERM)
        node.wait()


@pytest.fixture(scope="module")
def ray_worker(
    cluster: str, tmp_path_factory: pytest.TempPathFactory, models_dir: Path
) -> Iterator[Worker]:
    folder = tmp_path_factory.mktemp("ray-worker")
    options = ("--models-dir", str(models_dir), "--ray", cluster, "--ray-python", sys.executable)
    with servers.running(folder, *options) as running:
        yield running


def test_a_job_of_the_cluster_is_told_and_kept_like_any_other(ray_worker: Worker) -> None:
    created = start(ray_worker, "peft")
    job = wait_for(lambda: _ended(ray_worker, created.id), seconds=180)
    assert job.status == "succeeded", job.error
    assert [int(row["step"]) for row in table(ray_worker, job)] == list(range(1, 13))
    answer = ray_worker.client.chat.completions.create(
        model=job.fine_tuned_model,
        messages=[{"role": "user", "content": "colour of sky 0"}],
        max_tokens=2,
    )
    assert answer.choices


def test_a_job_of_the_cluster_is_cancelled_there(ray_worker: Worker) -> None:
    job = start(ray_worker, "peft", n_epochs=50, batch_size=1)
    wait_for(lambda: any(e.type == "metrics" for e in ray_worker.events(job.id)), seconds=120)
    ray_worker.client.fine_tuning.jobs.cancel(job.id)
    wait_for(lambda: not trainers(ray_worker), seconds=60)


def test_a_lost_trainer_of_the_cluster_is_tried_again(ray_worker: Worker) -> None:
    job = start(ray_worker, "peft", n_epochs=30)
    state = ray_worker.home / "jobs" / job.id / "state.safetensors"
    wait_for(state.exists, seconds=120)
    for trainer in trainers(ray_worker):
        os.kill(trainer, signal.SIGKILL)
    ended = wait_for(lambda: _ended(ray_worker, job.id), seconds=180)
    assert ended.status == "succeeded", ended.error
    messages = [event.message for event in ray_worker.events(job.id)]
    assert any(message.startswith("Resuming after step ") for message in messages)


def _ended(worker: Worker, job_id: str) -> Any:
    job = worker.client.fine_tuning.jobs.retrieve(job_id)
    return job if job.status in servers.FINAL else None


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
    return port


def _answers(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0

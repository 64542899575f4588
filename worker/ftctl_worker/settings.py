"""What a server was told; the one module that reads the environment."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ftctl_worker.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

__all__ = [
    "Joint",
    "Precision",
    "Settings",
    "child_environment",
    "default_home",
    "is_sharded",
    "local_rank",
    "prepare_for_torch",
    "process_count",
    "process_rank",
    "take_token_hashes",
]

Precision = Literal["auto", "fp32", "bf16"]
Joint = Literal["auto", "never"] | int
PRECISIONS: tuple[Precision, ...] = ("auto", "fp32", "bf16")

MIB = 1024 * 1024
# By default a thread that waits for the others burns its core; on a machine that is busy with
# something else too, the others then wait for that core. Measured on two busy cores: 70 times.
_FOR_TORCH = {"OMP_WAIT_POLICY": "PASSIVE", "TQDM_DISABLE": "1"}
# Nothing is told to the Hub that it need not know, nor is it asked to convert pickled weights.
_FOR_THE_HUB = {"HF_HUB_DISABLE_TELEMETRY": "1", "DISABLE_SAFETENSORS_CONVERSION": "1"}
_SECRET_WORDS = ("TOKEN", "SECRET", "PASSWORD", "API_KEY", "CREDENTIAL")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How one server runs. Tokens are kept as SHA-256 digests, never in the clear."""

    home: Path
    token_hashes: tuple[bytes, ...] = field(repr=False)
    host: str = "127.0.0.1"
    port: int = 0
    ready_file: Path | None = None
    exit_lock: Path | None = None
    threads: int = 0
    concurrency: int = 1
    precision: Precision = "auto"
    joint: Joint = "auto"
    max_batch: int = 16
    max_upload_bytes: int = 512 * MIB
    max_body_bytes: int = 10 * MIB
    max_queue: int = 1000
    max_waiting: int = 256
    project_jobs: int = 0
    project_bytes: int = 0
    idle_seconds: float = 60.0
    disk_floor_bytes: int = 64 * MIB
    models_dirs: tuple[Path, ...] = ()
    allow_paths: tuple[Path, ...] = ()
    allow_models: tuple[str, ...] = ()
    allow_any_model: bool = False
    engine: str = "peft"
    ray_address: str | None = None
    ray_python: str = "python"
    ray_gpus: int = 0
    rehearsed_cards: int = 0
    allow_python_graders: bool = False
    adapters: Path | None = None


def take_token_hashes(
    variable: str, environment: MutableMapping[str, str] = os.environ
) -> tuple[bytes, ...]:
    """Return the SHA-256 digests of the bearer tokens in an environment variable.

    Several tokens are separated by commas. The variable is taken away, so that no child process
    gets it.

    Raises:
        ConfigurationError: the variable is unset or holds no token.
    """
    tokens = [part.strip() for part in environment.pop(variable, "").split(",")]
    hashes = tuple(hashlib.sha256(token.encode()).digest() for token in tokens if token)
    if not hashes:
        raise ConfigurationError(
            f"The environment variable {variable} holds no token; set it to the bearer token "
            "that clients will send."
        )
    return hashes


def default_home(environment: Mapping[str, str] = os.environ) -> Path:
    """Return FTCTL_WORKER_HOME, or the platform's data folder."""
    if named := environment.get("FTCTL_WORKER_HOME"):
        return Path(named)
    data = environment.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(data) / "ftctl-worker"


def process_rank(environment: Mapping[str, str] = os.environ) -> int | None:
    """Return which of a job's processes this is, where it has one for each of several cards."""
    rank = environment.get("RANK")
    return None if rank is None else int(rank)


def local_rank(environment: Mapping[str, str] = os.environ) -> int:
    """Return which of its machine's cards this process has."""
    return int(environment.get("LOCAL_RANK", "0"))


def is_sharded(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether each of a job's processes gets a part of the model, once it is loaded."""
    return environment.get("ACCELERATE_USE_FSDP", "").lower() == "true"


def process_count(environment: Mapping[str, str] = os.environ) -> int:
    """Return how many processes train a job together."""
    return int(environment.get("WORLD_SIZE", "1"))


def prepare_for_torch(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let waiting threads sleep, hide progress bars, tell the Hub nothing; comes before torch."""
    for name, value in {**_FOR_TORCH, **_FOR_THE_HUB}.items():
        environment.setdefault(name, value)


def child_environment(
    *, offline: bool, environment: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """Return the environment of a trainer: no secrets, and no hub where ``offline``."""
    kept = {
        name: value
        for name, value in environment.items()
        if not any(word in name.upper() for word in _SECRET_WORDS)
        or (name == "HF_TOKEN" and not offline)
    }
    kept["TOKENIZERS_PARALLELISM"] = "false"
    prepare_for_torch(kept)
    if offline:
        kept["HF_HUB_OFFLINE"] = "1"
    return kept

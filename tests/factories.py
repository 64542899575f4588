"""Values for tests, whole and plausible; name only what the test is about."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator.domain.clock import ManualClock
from orchestrator.domain.ids import new_id, new_token
from orchestrator.domain.jobs.dataset import Dataset
from orchestrator.domain.jobs.deployment import Deployment
from orchestrator.domain.jobs.job import Job

DIGEST = hashlib.sha256(b"{}\n").hexdigest()
_NOW = ManualClock().now()


def a_dataset(**changes: Any) -> Dataset:
    values: dict[str, Any] = {
        "digest": DIGEST,
        "bytes": 3,
        "rows": 1,
        "source": "train.jsonl",
        "created_at": _NOW,
    }
    return Dataset(**{**values, **changes})


def a_job(**changes: Any) -> Job:
    values: dict[str, Any] = {
        "id": new_id(),
        "token": new_token(),
        "provider": "openai",
        "kind": "openai",
        "account": "account-1",
        "model": "gpt-4.1-mini-2025-04-14",
        "training": DIGEST,
        "created_at": _NOW,
        "updated_at": _NOW,
    }
    return Job(**{**values, **changes})


def a_deployment(**changes: Any) -> Deployment:
    values: dict[str, Any] = {
        "id": new_id(),
        "job_id": "0123456789ab",
        "provider": "azure",
        "resource": "resource-1",
        "name": "ftctl-0123456789ab",
        "model": "gpt-4.1-mini-2025-04-14.ft-0f4a3b2c1d",
        "base_model": "gpt-4.1-mini-2025-04-14",
        "sku": "GlobalStandard",
        "capacity": 10,
        "hour_micros": 1_700_000,
        "created_at": _NOW,
        "updated_at": _NOW,
    }
    return Deployment(**{**values, **changes})


def chat_rows(count: int, label: str = "ok") -> list[dict[str, Any]]:
    return [
        {
            "messages": [
                {"role": "user", "content": f"question number {index}"},
                {"role": "assistant", "content": f"{label} {index % 3}"},
            ]
        }
        for index in range(count)
    ]


def chat_file(path: Path, count: int = 12, label: str = "ok") -> Path:
    lines = [json.dumps(row) for row in chat_rows(count, label)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def safetensors(tensors: Mapping[str, tuple[str, Sequence[int], bytes]]) -> bytes:
    """A safetensors file: dtype, shape and little-endian bytes by name."""
    header: dict[str, Any] = {}
    at = 0
    for name, (dtype, shape, content) in tensors.items():
        header[name] = {
            "dtype": dtype,
            "shape": list(shape),
            "data_offsets": [at, at + len(content)],
        }
        at += len(content)
    told = json.dumps(header).encode()
    return struct.pack("<Q", len(told)) + told + b"".join(t[2] for t in tensors.values())


def adapter_folder(folder: Path, *, seed: float = 1.0, base: str = "tiny") -> Path:
    """A LoRA adapter of one layer, as peft would save it."""
    folder.mkdir(parents=True)
    layer = "base_model.model.model.layers.0.self_attn.q_proj"
    a, b = (struct.pack("<4f", *(seed * k for k in range(n, n + 4))) for n in (1, 5))
    content = safetensors(
        {f"{layer}.lora_A.weight": ("F32", (1, 4), a), f"{layer}.lora_B.weight": ("F32", (4, 1), b)}
    )
    (folder / "adapter_model.safetensors").write_bytes(content)
    config = {"peft_type": "LORA", "r": 1, "lora_alpha": 2, "base_model_name_or_path": base}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder

"""What a vLLM server does with adapters at run time, as its documentation and answers tell.

`in_place` as newer ones know `load_inplace`; older ones refuse a name that is loaded.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import httpx2


@dataclass
class VllmDouble:
    """Answers requests as a transport's handler; `loaded` is folder by name."""

    base: str = "acme/base"
    max_lora_rank: int = 16
    in_place: bool = True
    runtime_updating: bool = True
    key: str | None = None
    loaded: dict[str, str] = field(default_factory=dict)
    calls: list[tuple[str, str]] = field(default_factory=list)

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        path = request.url.path
        if self.key and request.headers.get("authorization") != f"Bearer {self.key}":
            return httpx2.Response(401, json={"error": "Unauthorized"})
        if path == "/v1/models":
            return httpx2.Response(200, json={"object": "list", "data": self._models()})
        if not self.runtime_updating:
            return httpx2.Response(404, json={"detail": "Not Found"})
        body = json.loads(request.content)
        self.calls.append((path.rsplit("/", 1)[1], body["lora_name"]))
        if path == "/v1/load_lora_adapter":
            return self._load(body)
        return self._unload(body["lora_name"])

    def _models(self) -> list[dict[str, object]]:
        base: dict[str, object] = {"id": self.base, "root": self.base, "parent": None}
        return [
            base,
            *(dict[str, object](id=n, root=p, parent=self.base) for n, p in self.loaded.items()),
        ]

    def _load(self, body: dict[str, object]) -> httpx2.Response:
        name, folder = str(body["lora_name"]), str(body["lora_path"])
        if name in self.loaded and not (self.in_place and body.get("load_inplace")):
            return _error(
                400, "InvalidUserInput", f"The lora adapter '{name}' has already been loaded."
            )
        config = Path(folder) / "adapter_config.json"
        if not config.is_file():
            return _error(404, "NotFoundError", f"No adapter found for '{folder}'.")
        rank = json.loads(config.read_text())["r"]
        if rank > self.max_lora_rank:
            said = f"LoRA rank {rank} is greater than max_lora_rank {self.max_lora_rank}."
            return _error(500, "InternalServerError", said)
        self.loaded[name] = folder
        return httpx2.Response(200, text=f"Success: LoRA adapter '{name}' added successfully.")

    def _unload(self, name: str) -> httpx2.Response:
        if name not in self.loaded:
            return _error(404, "NotFoundError", f"The lora adapter '{name}' cannot be found.")
        del self.loaded[name]
        return httpx2.Response(200, text=f"Success: LoRA adapter '{name}' removed successfully.")


def _error(status: int, kind: str, message: str) -> httpx2.Response:
    body = {"error": {"message": message, "type": kind, "param": None, "code": status}}
    return httpx2.Response(status, json=body)

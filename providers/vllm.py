"""A vLLM server that is told which adapters to hold.

The routes are vLLM's own, of its runtime LoRA updating (docs.vllm.ai, "LoRA Adapters"): it lists
adapters among its models, with their folder as `root`, and loads and unloads them by name.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from orchestrator.domain.errors import (
    CredentialsRefused,
    ProviderRejected,
    ProviderUnreachable,
)
from providers.border import no_answer
from providers.connection import checked_address
from providers.refusal import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import httpx2

# Loading reads weights from a disk that may be far away.
_SECONDS = 120.0
_OFF = (
    "this vLLM does not take adapters at run time: start it with --enable-lora and"
    " VLLM_ALLOW_RUNTIME_LORA_UPDATING=True"
)


@dataclass
class VllmServer:
    """The adapters of one server.

    Attributes:
        url: with or without /v1 at its end.
        key: bearer token; None where the server wants none.
        transport: what carries requests; sockets when None.
    """

    url: str
    key: str | None = field(default=None, repr=False)
    transport: httpx2.BaseTransport | None = None

    def __post_init__(self) -> None:
        """Check where the key would go."""
        what = "address of the vLLM server"
        allowed = checked_address(self.url, what=what, allow_http=not self.key)
        self.url = allowed.removesuffix("/v1")

    def adapters(self) -> Mapping[str, str]:
        """Folder by name of what is loaded."""
        return {one["id"]: str(one.get("root")) for one in self._models() if one.get("parent")}

    def bases(self) -> Sequence[str]:
        """What the server calls its base models, and where they come from."""
        found = [one for one in self._models() if not one.get("parent")]
        return [str(name) for one in found for name in (one["id"], one.get("root")) if name]

    def _models(self) -> Sequence[Mapping[str, Any]]:
        found = self._ask("GET", "/v1/models", None)
        try:
            return [{**one, "id": str(one["id"])} for one in json.loads(found.text)["data"]]
        except (ValueError, KeyError, TypeError) as error:
            raise ProviderUnreachable(f"{self.url} does not list models as vLLM does.") from error

    def load(self, name: str, folder: str, *, again: bool) -> None:
        """Load a folder under a name; `again` where the name stands for another one now.

        In place where the server can: no request meets a moment without the name. Older servers
        do not know how, refuse, and get it unloaded first.
        """
        body = {"lora_name": name, "lora_path": folder}
        if again:
            try:
                self._ask("POST", "/v1/load_lora_adapter", {**body, "load_inplace": True})
                return
            except ProviderRejected as error:
                if error.status != 400:
                    raise
            self.unload(name)
        self._ask("POST", "/v1/load_lora_adapter", body)

    def unload(self, name: str) -> None:
        """Forget a name; one that is not there is forgotten already."""
        try:
            self._ask("POST", "/v1/unload_lora_adapter", {"lora_name": name})
        except ProviderRejected as error:
            if error.status != 404 or error.code != "NotFoundError":
                raise

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None) -> httpx2.Response:
        import httpx2

        headers = {"authorization": f"Bearer {self.key}"} if self.key else {}
        try:
            with httpx2.Client(
                trust_env=False, timeout=_SECONDS, headers=headers, transport=self.transport
            ) as client:
                response = client.request(method, self.url + path, json=body)
        except httpx2.HTTPError as error:
            raise no_answer(self.url, error) from error
        if response.status_code >= 400:
            raise self._refused(response, path)
        return response

    def _refused(self, response: httpx2.Response, path: str) -> Exception:
        message, kind = _words(response)
        status = response.status_code
        if status in {401, 403}:
            return CredentialsRefused(f"{self.url} refused the key.")
        if status == 404 and kind != "NotFoundError":
            return ProviderRejected(f"{self.url} has no {path}: {_OFF}.", status=404)
        said = f"{self.url} said: {message}"
        if status >= 500 and kind is None:
            return ProviderUnreachable(said)
        hint = "vllm serve ... --max-lora-rank R" if "rank" in message.lower() else None
        return ProviderRejected(said, status=status, code=kind, hint=hint)


def _words(response: httpx2.Response) -> tuple[str, str | None]:
    """Message and type, as vLLM writes them: in an envelope, or bare in older versions."""
    try:
        body = json.loads(response.text)
        found = body.get("error", body)
        kind = found.get("type")
        return one_line(str(found["message"])), kind if isinstance(kind, str) else None
    except (ValueError, KeyError, AttributeError, TypeError):
        return f"HTTP {response.status_code}", None

"""What the worker adds to the dialect: the files of an adapter, read back and measured."""

from __future__ import annotations

import hashlib
import os
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from orchestrator.domain.adapters.names import FILES
from orchestrator.domain.errors import ProviderUnreachable, RemoteNotFound
from providers.wire import WireProvider

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import httpx2
    from openai import OpenAI
    from openai._legacy_response import LegacyAPIResponse

    from orchestrator.domain.adapters.ports import AdapterHost

_MOST_BYTES = 4 * 1024 * 1024 * 1024


class GivesAdapters(WireProvider):
    """A provider whose adapters can be fetched."""

    def describe_adapter(self, model: str) -> Mapping[str, Any]:
        """Its files with digests, and the base model with its revision.

        Raises:
            RemoteNotFound: there is no such model, or the worker is older than this question.
            ProviderUnreachable: the answer is none.
        """
        raw = self._ask(lambda client: _get(client, _path(model), stream=False))
        files = raw.get("files")
        if not isinstance(files, list) or not all(map(_is_file, files)):
            raise ProviderUnreachable(f"{self.name} did not say which files {model} has.")
        return raw

    def pin_model(self, model: str) -> str:
        """The name that will always mean what `model` means now; the name itself elsewhere."""
        try:
            raw = self._ask(lambda client: client.models.with_raw_response.retrieve(model))
        except RemoteNotFound:
            return model
        root = raw.get("root")
        return root if isinstance(root, str) and root.partition("@")[0] in model else model

    def fetch_adapter(self, model: str, folder: Path) -> None:
        """Put the files of a tuned model into a folder, their digests checked."""
        for file in self.describe_adapter(model)["files"]:
            self._retry(partial(self._download, model, file, folder / file["name"]))

    def _download(self, model: str, file: Mapping[str, Any], target: Path) -> None:
        def call(client: OpenAI) -> LegacyAPIResponse[Any]:
            return _get(client, f"{_path(model)}/{file['name']}", stream=True)

        target.unlink(missing_ok=True)
        digest = self._border.stream(
            lambda: call(self._connection.client()), lambda body: _save(body, target, file["bytes"])
        )
        if digest != file["sha256"]:
            raise ProviderUnreachable(f"{self.name} sent {file['name']} of {model} damaged.")


def _path(model: str) -> str:
    return f"/worker/models/{quote(model, safe=':/@')}/adapter"


def _get(client: OpenAI, path: str, *, stream: bool) -> LegacyAPIResponse[Any]:
    from openai._constants import RAW_RESPONSE_HEADER
    from openai._legacy_response import HttpxBinaryResponseContent

    way = "stream" if stream else "true"
    answer: Any = client.get(
        path, cast_to=HttpxBinaryResponseContent, options={"headers": {RAW_RESPONSE_HEADER: way}}
    )
    found: LegacyAPIResponse[Any] = answer
    return found


def _is_file(value: Any) -> bool:
    """A name that is one of ours: what a host says never becomes a path."""
    return (
        isinstance(value, dict)
        and value.get("name") in FILES
        and isinstance(value.get("sha256"), str)
        and isinstance(value.get("bytes"), int)
        and 0 <= value["bytes"] <= _MOST_BYTES
    )


def _save(body: httpx2.Response, target: Path, size: int) -> str:
    """Write as it comes, never more than was told of; return the digest."""
    digest, written = hashlib.sha256(), 0
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        for chunk in body.iter_bytes(256 * 1024):
            written += len(chunk)
            if written > size:
                break
            digest.update(chunk)
            stream.write(chunk)
    return digest.hexdigest()


if TYPE_CHECKING:
    _implements: type[AdapterHost] = GivesAdapters

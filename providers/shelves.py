"""Files, tuned models, records of jobs and shared checkpoints, over OpenAI's dialect."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from orchestrator.domain.errors import ProviderRejected, ProviderUnreachable, RemoteNotFound
from providers import answers
from providers.paging import every_item, items

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import httpx2
    from openai import OpenAI
    from openai._legacy_response import LegacyAPIResponse

    from orchestrator.domain.housekeeping import (
        CheckpointSharing,
        FileShelf,
        ModelShelf,
        Permission,
    )
    from orchestrator.domain.provider import Capabilities, RemoteFile
    from providers.border import Border
    from providers.dialect import Dialect
    from providers.retry import Retry

    Raw = Mapping[str, Any]

PAGE = 100


class Shelves:
    """What a provider over HTTP keeps. Everything here may be repeated."""

    name: str
    capabilities: Capabilities
    dialect: Dialect
    _retry: Retry
    _border: Border

    def list_files(self) -> Iterator[RemoteFile]:
        """Every file of every purpose."""
        return map(self._file, self._files(None))

    def read_file(self, file_id: str) -> bytes:
        """The content as it comes."""
        return self._read(lambda client: client.files.with_raw_response.content(file_id))

    def delete_file(self, file_id: str) -> None:
        """Take it away."""
        self._away(lambda client: client.files.with_raw_response.delete(file_id))

    def begin_upload(self, name: str, size: int) -> Raw:
        """Make an upload for parts; it ends by itself within the hour."""
        return self._ask(
            lambda client: client.uploads.with_raw_response.create(
                bytes=size, filename=name, mime_type="application/jsonl", purpose="fine-tune"
            )
        )

    def add_part(self, upload_id: str, data: bytes) -> Raw:
        """Send a part; repeated when no clear answer comes."""
        return self._ask(
            lambda client: client.uploads.parts.with_raw_response.create(
                upload_id, data=("part", data)
            )
        )

    def end_upload(self, upload_id: str, parts: list[str], md5: str) -> Raw:
        """Make a file of the parts; said once."""
        return self._border.answer(
            lambda: self._client().uploads.with_raw_response.complete(
                upload_id, part_ids=parts, md5=md5
            )
        )

    def cancel_upload(self, upload_id: str) -> None:
        """Let the parts go."""
        self._ask(lambda client: client.uploads.with_raw_response.cancel(upload_id))

    def as_file(self, raw: Raw) -> RemoteFile:
        """A file in an answer."""
        return self._file(raw)

    def delete_model(self, model: str) -> None:
        """Take a tuned model away."""
        self._away(lambda client: client.models.with_raw_response.delete(model))

    def delete_job(self, remote_id: str) -> None:
        """Take the record of a job away; the client has no method for it."""
        path = f"/fine_tuning/jobs/{quote(remote_id, safe='')}"

        def send(client: OpenAI) -> Any:
            import httpx2

            return _Answered(client.delete(path, cast_to=httpx2.Response))

        self._away(send)

    def permissions(self, checkpoint: str) -> Sequence[Permission]:
        """Every project that may use a checkpoint."""

        def page(after: str | None) -> Raw:
            more: dict[str, Any] = {} if after is None else {"after": after}
            return self._ask(
                lambda client: client.fine_tuning.checkpoints.permissions.with_raw_response.list(
                    checkpoint, limit=PAGE, **more
                )
            )

        what = f"The list of permissions at {self.name}"
        return [answers.permission(each) for each in every_item(page, what=what, limit=PAGE)]

    def share(self, checkpoint: str, projects: Sequence[str]) -> Sequence[Permission]:
        """Let projects use it; after a lost answer the list says who may, so that none may twice."""

        def grant() -> list[Permission]:
            known = {each.project: each for each in self.permissions(checkpoint)}
            new = [project for project in projects if project not in known]
            if new:
                raw = self._border.answer(lambda: self._grant(checkpoint, new))
                given = items(raw, f"The list of permissions at {self.name}")
                known |= {each.project: each for each in map(answers.permission, given)}
            return [known[project] for project in projects if project in known]

        return self._retry(grant)

    def unshare(self, checkpoint: str, permission_id: str) -> None:
        """Take a permission back."""
        self._away(
            lambda client: client.fine_tuning.checkpoints.permissions.with_raw_response.delete(
                permission_id, fine_tuned_model_checkpoint=checkpoint
            )
        )

    def _grant(self, checkpoint: str, projects: list[str]) -> LegacyAPIResponse[Any]:
        permissions = self._client().fine_tuning.checkpoints.permissions
        return permissions.with_raw_response.create(checkpoint, project_ids=projects)

    def _ask(self, call: Callable[[OpenAI], Any]) -> dict[str, Any]:
        raise NotImplementedError

    def _client(self) -> OpenAI:
        raise NotImplementedError

    def _file(self, raw: Raw) -> RemoteFile:
        raise NotImplementedError

    def _read(self, call: Callable[[OpenAI], Any]) -> bytes:
        return self._retry(lambda: self._border.content(lambda: call(self._client())))

    def _away(self, call: Callable[[OpenAI], Any]) -> None:
        """Ask for something to be gone. Not there is gone; an empty answer is a yes."""
        try:
            said = self._read(call)
        except RemoteNotFound:
            return
        try:
            told = json.loads(said) if said.strip() else {}
        except ValueError as error:
            raise ProviderUnreachable(f"{self.name} answered with something, not JSON.") from error
        if isinstance(told, dict) and told.get("deleted") is False:
            raise ProviderRejected(f"{self.name} did not delete it, and does not say why.")

    def _files(self, purpose: str | None) -> Iterator[Raw]:
        limit = self.dialect.file_page
        asked: dict[str, Any] = {"purpose": purpose, "limit": limit}
        asked = {name: value for name, value in asked.items() if value is not None}

        def page(after: str | None) -> Raw:
            more: dict[str, Any] = {} if after is None else {"after": after}
            return self._ask(lambda client: client.files.with_raw_response.list(**asked, **more))

        return every_item(page, what=f"The list of files at {self.name}", limit=limit)


class _Answered:
    """An answer in the shape that the client's other methods give it."""

    def __init__(self, response: httpx2.Response) -> None:
        self.http_response = response


if TYPE_CHECKING:
    _files: type[FileShelf] = Shelves
    _models: type[ModelShelf] = Shelves
    _sharing: type[CheckpointSharing] = Shelves

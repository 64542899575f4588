"""From the name in a request to what answers: a tuned model, a repository's adapter, a base."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ftctl_worker.errors import ModelError
from ftctl_worker.serving.ticket import Target

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ftctl_worker.models.bases import BaseModel, Catalog
    from ftctl_worker.models.repository import Repository, Version
    from ftctl_worker.models.tuned_models import TunedModels

__all__ = ["Found", "Lookup"]

_SHOWN_DIGITS = 12


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a name means now.

    ``model`` is its full name, which says the version where the name did not; ``fingerprint`` tells
    apart the weights behind it, where they come from a repository.
    """

    target: Target
    model: str
    fingerprint: str | None = None


@dataclass(frozen=True)
class Lookup:
    """Everything on this server that has a name; ``adapters`` is the repository, if there is one.

    Names of jobs come first, then tasks of the repository, then base models.
    """

    tuned: TunedModels
    catalog: Catalog
    adapters: Repository | None = None

    def find(self, name: str, project: str) -> Found:
        """Find what answers to a name in a project.

        Raises:
            ModelError: nothing does, or it is not allowed here.
        """
        found = self._find(name, project)
        return replace(found, target=replace(found.target, project=project))

    def _find(self, name: str, project: str) -> Found:
        tuned = self.tuned.get(name, project)
        if tuned is not None and not tuned.folder.is_dir():
            raise ModelError(
                f"The weights of {name} are gone from this server's home; delete the model, or "
                "train it again."
            )
        if tuned is not None and tuned.is_whole:
            return Found(target=Target(tuned.as_base(), None), model=name)
        if tuned is not None:
            return Found(target=Target(self.catalog.resolve(tuned.base), tuned.folder), model=name)
        if self.adapters is not None and (version := self._version(name)) is not None:
            return self._of_version(version)
        if (folder := _adapter_folder(name)) is not None:
            return Found(target=Target(self._base_of(name, folder), folder), model=name)
        return Found(target=Target(self.catalog.resolve(name), None), model=name)

    def versions(self) -> Iterator[tuple[str, Version]]:
        """Yield the names of the repository, with what they mean now."""
        return iter(()) if self.adapters is None else self.adapters.names()

    def _version(self, name: str) -> Version | None:
        assert self.adapters is not None
        try:
            return self.adapters.find(name)
        except ValueError:  # a null byte, or what else no file system takes
            return None

    def _of_version(self, version: Version) -> Found:
        base = self.catalog.resolve(version.base)
        return Found(
            target=Target(base, version.folder),
            model=version.name,
            fingerprint=f"{version.name}-{version.digest[:_SHOWN_DIGITS]}",
        )

    def _base_of(self, name: str, folder: Path) -> BaseModel:
        self.catalog.check_path(name)
        try:
            config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
            base = config["base_model_name_or_path"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(f"The adapter {name} names no base model.") from error
        return self.catalog.resolve(str(base))


def _adapter_folder(name: str) -> Path | None:
    """The folder that a name means, where it holds an adapter and no model."""
    if not name.startswith("/") or "\0" in name:
        return None
    folder = Path(name)
    try:
        holds_model = (folder / "config.json").is_file()
        return folder if not holds_model and (folder / "adapter_config.json").is_file() else None
    except OSError:
        return None

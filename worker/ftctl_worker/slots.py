"""Adapters in memory beside one base model, any of them usable by any row of a batch."""

from __future__ import annotations

import json
import math
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from ftctl_worker.adapters import WEIGHTS_FILE
from ftctl_worker.errors import ModelError
from ftctl_worker.lora import MixedLinear, Mixture

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["BASE_ALONE", "Slots", "can_mix"]

BASE_ALONE = ""
_PREFIX = "base_model.model."


class Slots:
    """The adapters on a base model; the least recently used makes room."""

    def __init__(self, model: Any, most: int) -> None:
        """Put at most ``most`` adapters on ``model``."""
        self._model = model
        self._most = most
        self._mixture = Mixture()
        self._layers: dict[str, MixedLinear] = {}
        self._names: OrderedDict[str, None] = OrderedDict()

    def load(self, folder: Path, name: str) -> list[str]:
        """Make sure that an adapter is there; return the names that had to go.

        Raises:
            ModelError: the folder holds no adapter for this model.
        """
        if name not in self._names:
            try:
                self._put(folder, name)
            except (OSError, ValueError, KeyError, AttributeError, SafetensorError) as error:
                raise ModelError(f"The adapter in {folder.name} cannot be loaded.") from error
        self._names[name] = None
        self._names.move_to_end(name)
        return self._make_room()

    def choose(self, names: Sequence[str]) -> None:
        """Say which adapter each row of the coming batch uses."""
        self._mixture.choose(names)

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with some rows of the batch."""
        self._mixture.keep(rows)

    def _put(self, folder: Path, name: str) -> None:
        config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
        rank = config["r"]
        root = math.sqrt(rank) if config.get("use_rslora") else rank
        weights = load_file(folder / WEIGHTS_FILE)
        for key, a in weights.items():
            if not key.endswith(".lora_A.weight"):
                continue
            b = weights[key.replace(".lora_A.", ".lora_B.")]
            where = key.removeprefix(_PREFIX).removesuffix(".lora_A.weight")
            self._layer(where).put(name, a, b, config["lora_alpha"] / root)

    def _layer(self, where: str) -> MixedLinear:
        if where not in self._layers:
            parent, _, last = where.rpartition(".")
            holder = self._model.get_submodule(parent)
            linear = getattr(holder, last)
            if not isinstance(linear, nn.Linear):
                raise ValueError(f"{where} is no linear layer")
            self._layers[where] = MixedLinear(linear, self._mixture)
            setattr(holder, last, self._layers[where])
        return self._layers[where]

    def _make_room(self) -> list[str]:
        gone = []
        while len(self._names) > self._most:
            name, _ = self._names.popitem(last=False)
            for layer in self._layers.values():
                layer.drop(name)
            gone.append(name)
        return gone


def can_mix(folder: Path) -> bool:
    """Tell whether an adapter is plain LoRA, which rows of one batch may choose at will."""
    try:
        config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return True
    return not config.get("use_dora") and config.get("bias", "none") == "none"

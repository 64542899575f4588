"""Adapters in memory beside one base model, any of them usable by any row of a batch."""

from __future__ import annotations

import json
import math
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from ftctl_worker.errors import AdapterError
from ftctl_worker.models.adapters import WEIGHTS_FILE
from ftctl_worker.models.lora import MixedLinear, Mixture

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from torch import Tensor

__all__ = ["BASE_ALONE", "Slots", "can_mix"]

BASE_ALONE = ""
_PREFIX = "base_model.model."
_A, _B = ".lora_A.weight", ".lora_B.weight"
# What our own mixed forward does not compute; such an adapter is merged into weights of its own.
_NOT_PLAIN = (
    *("use_dora", "rank_pattern", "alpha_pattern", "modules_to_save", "lora_bias"),
    *("layer_replication", "trainable_token_indices", "fan_in_fan_out"),
)


class Slots:
    """The adapters on a base model; the least recently used makes room."""

    def __init__(self, model: Any, most: int) -> None:
        """Put at most ``most`` adapters on ``model``."""
        self._model = model
        self._most = most
        self._mixture = Mixture(next(model.parameters()).device)
        self._layers: dict[str, MixedLinear] = {}
        self._names: OrderedDict[str, None] = OrderedDict()

    def load(self, folder: Path, name: str) -> list[str]:
        """Make sure that an adapter is there; return the names that had to go.

        Raises:
            AdapterError: the folder holds no adapter for this model.
        """
        if name not in self._names:
            try:
                self._put(folder, name)
            except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
                why = f"{type(error).__name__}: {error}"[:300]
                raise AdapterError(
                    f"The adapter {folder.parent.name}/{folder.name} cannot be loaded ({why})."
                ) from error
        self._names[name] = None
        self._names.move_to_end(name)
        return self._make_room()

    def choose(self, names: Sequence[str]) -> None:
        """Say which adapter each row of the coming batch uses."""
        self._mixture.choose(list(names))

    def keep_loaded(self, names: Iterable[str]) -> None:
        """Let other adapters make room before these."""
        for name in names:
            if name in self._names:
                self._names.move_to_end(name)

    def _put(self, folder: Path, name: str) -> None:
        config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
        rank = config["r"]
        root = math.sqrt(rank) if config.get("use_rslora") else rank
        weights = load_file(folder / WEIGHTS_FILE)
        # All of it is looked at before any of it is put: an adapter is there whole or not at all.
        pairs = _pairs(weights)
        for where, (a, b) in pairs.items():
            _check(where, self._linear(where), a, b)
        for where, (a, b) in pairs.items():
            self._layer(where).put(name, a, b, config["lora_alpha"] / root)

    def _linear(self, where: str) -> nn.Linear:
        if where in self._layers:
            return self._layers[where].base
        try:
            linear = self._model.get_submodule(where)
        except AttributeError:
            raise ValueError(f"the base model has no {where}") from None
        if not isinstance(linear, nn.Linear):
            raise ValueError(f"{where} is no linear layer")  # noqa: TRY004 - of the file
        return linear

    def _layer(self, where: str) -> MixedLinear:
        if where not in self._layers:
            parent, _, last = where.rpartition(".")
            layer = MixedLinear(self._linear(where), self._mixture)
            setattr(self._model.get_submodule(parent), last, layer)
            self._layers[where] = layer
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
    return config.get("bias", "none") == "none" and not any(map(config.get, _NOT_PLAIN))


def _pairs(weights: dict[str, Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
    """Return A and B by the layer they belong to."""
    found = {}
    for key, a in weights.items():
        if key.endswith(_A):
            where = key.removesuffix(_A)
            found[where.removeprefix(_PREFIX)] = a, weights[where + _B]
        elif not key.endswith(_B) or key.removesuffix(_B) + _A not in weights:
            raise ValueError(f"{key} is no part of a plain LoRA")
    return found


def _check(where: str, linear: nn.Linear, a: Tensor, b: Tensor) -> None:
    outputs, inputs = linear.weight.shape
    if a.ndim != 2 or b.ndim != 2 or a.shape != (b.shape[1], inputs) or b.shape[0] != outputs:
        raise ValueError(
            f"{where}: A {tuple(a.shape)} and B {tuple(b.shape)} do not fit a layer of {inputs} "
            f"inputs and {outputs} outputs"
        )

"""Which engines there are, what each can do, and what it lacks here; nothing heavy is imported."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from ftctl_worker.job import Method

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["DEFAULT", "ENGINES", "TUNINGS", "Engine", "Tuning", "not_installed", "table", "why_not"]

Device = Literal["cpu", "cuda"]
Tuning = Literal["lora", "qlora", "full"]
TUNINGS: tuple[Tuning, ...] = get_args(Tuning)
DEFAULT = "peft"


@dataclass(frozen=True, kw_only=True)
class Engine:
    """An engine as data; ``devices`` by what is tuned, ``modules`` what it imports beyond ours."""

    name: str
    summary: str
    methods: tuple[Method, ...]
    devices: Mapping[Tuning, tuple[Device, ...]]
    place: str
    modules: tuple[str, ...] = ()
    install: str = ""

    @property
    def missing(self) -> tuple[str, ...]:
        """The modules that are not installed here."""
        return _not_found(self.modules)


_QLORA = ("bitsandbytes",)
_INSTALL_QLORA = "pip install 'ftctl-worker[qlora]'"
_BOTH: tuple[Device, ...] = ("cpu", "cuda")
_CUDA: tuple[Device, ...] = ("cuda",)
ENGINES: Mapping[str, Engine] = {
    engine.name: engine
    for engine in (
        Engine(
            name="peft",
            summary="our own loop over transformers and peft",
            methods=("supervised", "dpo", "reinforcement"),
            devices={"lora": _BOTH, "qlora": _CUDA, "full": _BOTH},
            place="ftctl_worker.engines.own",
        ),
        Engine(
            name="trl",
            summary="TRL's SFTTrainer, DPOTrainer and GRPOTrainer",
            methods=("supervised", "dpo", "reinforcement"),
            devices={"lora": _BOTH, "qlora": _CUDA},
            place="ftctl_worker.engines.trl",
            modules=("trl", "datasets"),
            install="pip install 'ftctl-worker[trl]'",
        ),
        Engine(
            name="unsloth",
            summary="Unsloth's kernels under TRL's SFTTrainer and DPOTrainer",
            methods=("supervised", "dpo"),
            devices={"lora": _CUDA, "qlora": _CUDA},
            place="ftctl_worker.engines.unsloth",
            modules=("unsloth", "trl", "datasets"),
            install="pip install unsloth 'ftctl-worker[trl]'",
        ),
    )
}


def why_not(name: str, method: Method, tuning: Tuning, device: Device) -> str | None:
    """Return the sentence that says why an engine cannot do this here, None where it can."""
    engine = ENGINES[name]
    if method not in engine.methods:
        return f"The engine {name} cannot do {method}; it can do {', '.join(engine.methods)}."
    if tuning not in engine.devices:
        return f"The engine {name} cannot do {tuning}; it can do {', '.join(engine.devices)}."
    if device not in engine.devices[tuning]:
        what = f"The engine {name}" if tuning == "lora" else f"The tuning {tuning}"
        instead = "use the engine peft" if tuning == "lora" else "use the tuning lora"
        return f"{what} needs a CUDA device, and this server has none; {instead}."
    if engine.missing:
        return not_installed(name, engine.missing, engine.install)
    if tuning == "qlora" and (missing := _not_found(_QLORA)):
        return not_installed("qlora", missing, _INSTALL_QLORA)
    return None


def table(device: Device, default: str = DEFAULT) -> list[dict[str, Any]]:
    """Return every engine with what it can do on ``device``, and why not."""
    return [
        {**_row(engine, device), "default": engine.name == default} for engine in ENGINES.values()
    ]


def _row(engine: Engine, device: Device) -> dict[str, Any]:
    methods = {
        method: {tuning: why_not(engine.name, method, tuning, device) for tuning in TUNINGS}
        for method in get_args(Method)
    }
    return {
        "name": engine.name,
        "summary": engine.summary,
        "installed": not engine.missing,
        "install": engine.install or None,
        "devices": {tuning: list(devices) for tuning, devices in engine.devices.items()},
        "methods": {
            method: {
                "available": [tuning for tuning, why in whys.items() if why is None],
                "unavailable": {tuning: why for tuning, why in whys.items() if why is not None},
            }
            for method, whys in methods.items()
        },
    }


def _not_found(modules: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in modules if importlib.util.find_spec(name) is None)


def not_installed(what: str, modules: tuple[str, ...], install: str) -> str:
    return f"{what} needs {', '.join(modules)}, which is not installed here; {install}."

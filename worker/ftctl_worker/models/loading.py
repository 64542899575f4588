"""Base models in memory: weights from safetensors only, no remote code, one number format."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from huggingface_hub import try_to_load_from_cache
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging
from transformers.utils.import_utils import is_flash_attn_2_available

from ftctl_worker.errors import ModelError
from ftctl_worker.models.hub_pins import HubPins
from ftctl_worker.settings import is_sharded, local_rank, process_count

if TYPE_CHECKING:
    from ftctl_worker.models.bases import BaseModel
    from ftctl_worker.settings import Precision

__all__ = ["LoadedBase", "device", "load_base", "use_threads"]

_SMALL_TO_TRAIN = 64 * 1024 * 1024
_SMALL_TO_ANSWER = 1024 * 1024 * 1024
_DEFAULT_CONTEXT = 2048
_FLASH = "flash_attention_2"

transformers_logging.set_verbosity_error()
transformers_logging.disable_progress_bar()


@dataclass(frozen=True, kw_only=True)
class LoadedBase:
    """A base model ready for use; ``context`` is the longest text in tokens.

    ``commit`` says which one it is where it comes from the Hub.
    """

    model: Any
    tokenizer: Any
    context: int
    eos_ids: frozenset[int]
    pad_id: int
    folder: Path | None
    commit: str | None = None

    @property
    def can_pack(self) -> bool:
        """Whether its attention can read several rows as one."""
        return bool(getattr(self.model.config, "_attn_implementation", None) == _FLASH)

    @property
    def is_half(self) -> bool:
        """Whether the weights are bf16."""
        return bool(self.model.dtype == torch.bfloat16)


def load_base(
    base: BaseModel,
    *,
    precision: Precision,
    cache: Path,
    training: bool = False,
    four_bit: bool = False,
) -> LoadedBase:
    """Load weights and tokenizer; converted weights are kept in ``cache``.

    A model of the Hub is loaded from the commit it was loaded from first, which is kept beside
    ``cache``.

    The precision "auto" takes bf16 on a CUDA device, and on a CPU that is good at it for weights
    of more than 64 MiB in training and 1 GiB in answering, where it costs time instead.

    With ``four_bit`` the weights are quantised while they are loaded (NF4, CUDA only).

    Raises:
        ModelError: something is missing, or the weights are not safetensors.
    """
    place = _converted(base, cache) if base.kind == "gguf" else base.location
    folder = None if base.kind == "hub" else Path(place)
    options: dict[str, Any] = {"trust_remote_code": False, "revision": base.revision}
    if folder is not None:
        options["local_files_only"] = True
    pins = HubPins(cache.parent / "hub.json")
    if folder is None:
        options["revision"] = pins.of(base) or base.revision
    try:
        config = AutoConfig.from_pretrained(place, **options)
        if folder is None and (commit := _commit(base, options["revision"])) is not None:
            # All of it comes from this commit, though the branch may move meanwhile.
            options["revision"] = pins.keep(base, commit)
        tokenizer = AutoTokenizer.from_pretrained(place, **options)
        model: Any = AutoModelForCausalLM.from_pretrained(
            place,
            config=config,
            dtype=_dtype(precision, folder, training=training),
            use_safetensors=True,
            **(_four_bit() if four_bit else {}),
            **options,
        )
        if training and model.dtype == torch.bfloat16 and _has_flash_attention():
            with contextlib.suppress(ValueError, ImportError):  # a model that does not know it
                model.set_attn_implementation(_FLASH)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ModelError(_why_not_loaded(base, error)) from error
    if tokenizer.chat_template is None:
        raise ModelError(f"The model {base.name} has no chat template; choose a chat model.")
    placed = model if four_bit or is_sharded() else model.to(device())
    model = placed.requires_grad_(False).eval()
    eos_ids = _eos_ids(model, tokenizer)
    pad_id = tokenizer.pad_token_id
    return LoadedBase(
        model=model,
        tokenizer=tokenizer,
        context=int(getattr(config, "max_position_embeddings", None) or _DEFAULT_CONTEXT),
        eos_ids=eos_ids,
        pad_id=min(eos_ids, default=0) if pad_id is None else pad_id,
        folder=folder,
        commit=None if folder is not None else options["revision"],
    )


def device() -> torch.device:
    """Return where models run: a CUDA device where there is one, else the CPU.

    Each of several processes of a job has a card of its own.
    """
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", local_rank())


def use_threads(count: int) -> None:
    """Let a job use ``count`` CPU threads; 0 means all cores this process may use.

    The processes of a job share them.
    """
    torch.set_num_threads(max(1, (count or len(os.sched_getaffinity(0))) // process_count()))


def _four_bit() -> dict[str, Any]:
    from transformers import BitsAndBytesConfig

    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    return {"quantization_config": config, "device_map": {"": device()}}


def _dtype(precision: Precision, folder: Path | None, *, training: bool) -> torch.dtype:
    if precision != "auto":
        return torch.bfloat16 if precision == "bf16" else torch.float32
    if torch.cuda.is_available():
        # Older cards only pretend to, and take many times as long.
        real = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if real else torch.float32
    size = 0 if folder is None else sum(f.stat().st_size for f in folder.glob("*.safetensors"))
    small = folder is not None and size < (_SMALL_TO_TRAIN if training else _SMALL_TO_ANSWER)
    return torch.float32 if small or not _cpu_is_good_at_bf16() else torch.bfloat16


def _has_flash_attention() -> bool:
    # Its kernels begin with the cards that have bf16.
    here = torch.cuda.is_available() and is_flash_attn_2_available()
    return here and torch.cuda.is_bf16_supported(including_emulation=False)


def _cpu_is_good_at_bf16() -> bool:
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def _commit(base: BaseModel, revision: str | None) -> str | None:
    """Return the commit of the Hub whose configuration was just loaded."""
    place = try_to_load_from_cache(base.location, "config.json", revision=revision)
    return Path(place).parent.name if isinstance(place, str) else None


def _eos_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    found = getattr(model.generation_config, "eos_token_id", None)
    ids = set(found if isinstance(found, list) else [found])
    ids.add(tokenizer.eos_token_id)
    return frozenset(int(one) for one in ids if one is not None)


def _why_not_loaded(base: BaseModel, error: Exception) -> str:
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if base.kind == "hub":
        return (
            f"The model {base.location} could not be fetched from the Hub; check its name and "
            f"the network, or give a folder instead. ({first})"
        )
    return f"The model {base.name} could not be loaded: {first}"


def _converted(base: BaseModel, cache: Path) -> str:
    """Dequantise a GGUF file once into bf16 safetensors, and return the folder."""
    source = Path(base.location)
    target = cache / f"{base.name}-{source.stat().st_size}"
    if (target / "config.json").is_file():
        return str(target)
    cache.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (cache / "convert.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (target / "config.json").is_file():
            _convert(source, target)
    return str(target)


def _convert(source: Path, target: Path) -> None:
    draft = target.with_name(f".{target.name}")
    shutil.rmtree(draft, ignore_errors=True)
    names = {"gguf_file": source.name, "local_files_only": True}
    tokenizer = AutoTokenizer.from_pretrained(source.parent, **names)
    model: Any = AutoModelForCausalLM.from_pretrained(source.parent, dtype=torch.bfloat16, **names)
    model.hf_quantizer = None
    model.is_quantized = False
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(draft)
    tokenizer.save_pretrained(draft)
    draft.rename(target)

"""The files of an adapter, looked at before they are trusted: nothing of them is ever run.

Safetensors and JSON only. The header is read by hand and measured against the file, so that no
library meets a file that lies about itself; weights that are not numbers are refused.
"""

from __future__ import annotations

import array
import hashlib
import json
import math
import struct
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from orchestrator.domain.adapters.manifest import FileFact
from orchestrator.domain.adapters.names import CARD, CONFIG, FILES, WEIGHTS
from orchestrator.domain.errors import AdapterRefused

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

MIB = 1024 * 1024
MOST_WEIGHTS = 4096 * MIB
MOST_HEADER = 16 * MIB
MOST_TENSORS = 100_000
_MOST_TEXT = 4 * MIB
_CHUNK = 4 * MIB
_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
# What unpickles or runs when somebody loads it.
_RUNS = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".py", ".so", ".npy", ".npz", ".joblib")
_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar")
# Settings by which peft would import a module that the file names.
_IMPORTS = ("auto_mapping", "megatron_config")


@dataclass(frozen=True, kw_only=True)
class AdapterFacts:
    """What the files say of themselves.

    Attributes:
        base: the base model's name, as the configuration has it.
        parameters: numbers in all tensors.
        recipe: rank, alpha, targets and variants.
    """

    base: str | None
    tensors: int
    parameters: int
    recipe: Mapping[str, Any]


@dataclass(frozen=True)
class _Tensor:
    """Where a tensor lies in the data, in bytes."""

    name: str
    dtype: str
    begin: int
    end: int


def check_files(folder: Path, *, complete: bool = False) -> AdapterFacts:
    """Look at a folder that claims to be an adapter.

    Args:
        folder: with the files.
        complete: card and manifest have to be there too.

    Raises:
        AdapterRefused: it is none, or holds what is refused.
    """
    names = _names(folder)
    for name in FILES if complete else (WEIGHTS, CONFIG):
        if name not in names:
            raise AdapterRefused(f"{folder} holds no {name}.")
    config = _config(folder / CONFIG)
    tensors = check_weights(folder / WEIGHTS)
    return AdapterFacts(
        base=config.get("base_model_name_or_path") or None,
        tensors=len(tensors),
        parameters=sum((one.end - one.begin) // _BYTES[one.dtype] for one in tensors),
        recipe=_recipe(config),
    )


def facts_of(folder: Path) -> dict[str, FileFact]:
    """Digest and size of every file but the manifest."""
    found = {}
    for name in (WEIGHTS, CONFIG, CARD):
        with (folder / name).open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        found[name] = FileFact(sha256=digest, bytes=(folder / name).stat().st_size)
    return found


def check_weights(path: Path) -> Sequence[_Tensor]:
    """The tensors of a safetensors file whose header is true and whose numbers are finite.

    Source of the format: https://huggingface.co/docs/safetensors

    Raises:
        AdapterRefused: with the tensor's name where one is to blame.
    """
    size = path.stat().st_size
    if size > MOST_WEIGHTS:
        raise AdapterRefused(f"{path} is larger than {MOST_WEIGHTS // MIB:,} MiB.")
    with path.open("rb") as stream:
        start, header = _header(path, stream.read(8), size)
        tensors = _tensors(path, _as_object(path, stream.read(header)), size - start)
        for tensor in tensors:
            stream.seek(start + tensor.begin)
            for chunk in _chunks(stream, tensor.end - tensor.begin):
                if not math.isfinite(_sum(chunk, tensor.dtype)):
                    raise AdapterRefused(f"The tensor {tensor.name} in {path} is not finite.")
    return tensors


def _names(folder: Path) -> set[str]:
    if not folder.is_dir():
        raise AdapterRefused(f"{folder} is no folder.")
    found = set()
    for each in folder.iterdir():
        if each.name not in FILES:
            raise AdapterRefused(
                f"{each.name!r} does not belong to an adapter{_why(each.name)}.",
                hint=f"cp {folder / CONFIG} {folder / WEIGHTS} NEW/ && ftctl adapters push NEW",
            )
        if each.is_symlink() or not each.is_file():
            raise AdapterRefused(f"{each} is a link or no file; an adapter holds plain files.")
        if each.name != WEIGHTS and each.stat().st_size > _MOST_TEXT:
            raise AdapterRefused(f"{each} is larger than {_MOST_TEXT // MIB} MiB.")
        found.add(each.name)
    return found


def _why(name: str) -> str:
    if name.lower().endswith(_RUNS):
        return ": loading such a file can run code"
    return ": archives are not opened" if name.lower().endswith(_ARCHIVES) else ""


def _config(path: Path) -> dict[str, Any]:
    config = _as_object(path, path.read_bytes())
    if config.get("peft_type") != "LORA":
        raise AdapterRefused(f"{path} is of {config.get('peft_type')!r}; LORA is kept here.")
    for name in _IMPORTS:
        if config.get(name):
            raise AdapterRefused(f"{path} sets {name}, by which a loader would import a module.")
    rank = config.get("r")
    if isinstance(rank, bool) or not isinstance(rank, int) or not 0 < rank <= 4096:
        raise AdapterRefused(f"{path} names no rank r between 1 and 4,096.")
    return config


def _recipe(config: Mapping[str, Any]) -> dict[str, Any]:
    names = ("r", "lora_alpha", "lora_dropout", "target_modules", "use_rslora", "use_dora", "bias")
    return {name: config[name] for name in names if name in config}


def _header(path: Path, first: bytes, size: int) -> tuple[int, int]:
    """Where the data begins, and how long the header is, in bytes."""
    if len(first) < 8:
        raise AdapterRefused(f"{path} is no safetensors file.")
    (length,) = struct.unpack("<Q", first)
    if length > MOST_HEADER or length + 8 > size:
        raise AdapterRefused(f"{path} claims a header of {length:,} bytes; it is no safetensors.")
    return 8 + length, length


def _as_object(path: Path, content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise AdapterRefused(f"{path} cannot be read: {error}.") from error
    if not isinstance(value, dict):
        raise AdapterRefused(f"{path} holds no object.")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("a name stands there twice")
    return value


def _tensors(path: Path, header: dict[str, Any], size: int) -> list[_Tensor]:
    """The tensors in the order of the data, which they have to fill without gap or overlap."""
    header.pop("__metadata__", None)
    if not 0 < len(header) <= MOST_TENSORS:
        raise AdapterRefused(f"{path} holds {len(header):,} tensors.")
    found = [_tensor(path, name, entry) for name, entry in header.items()]
    found.sort(key=lambda tensor: (tensor.begin, tensor.end))
    at = 0
    for tensor in found:
        if tensor.begin != at:
            raise AdapterRefused(f"The tensors of {path} overlap or leave gaps at {tensor.name}.")
        at = tensor.end
    if at != size:
        raise AdapterRefused(
            f"{path} holds {size:,} bytes of data, and its header tells of {at:,}."
        )
    return found


def _tensor(path: Path, name: str, entry: Any) -> _Tensor:
    try:
        dtype, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
        whole = [begin, end, *shape]
        good = all(type(one) is int and 0 <= one <= MOST_WEIGHTS for one in whole)
        expected = math.prod(shape) * _BYTES[dtype]
    except (KeyError, TypeError, ValueError) as error:
        raise AdapterRefused(f"The header of {path} is wrong at {name[:200]!r}.") from error
    if not good or end - begin != expected:
        raise AdapterRefused(f"The tensor {name[:200]} in {path} is not as long as its shape says.")
    return _Tensor(name, dtype, begin, end)


def _chunks(stream: Any, length: int) -> Iterator[bytes]:
    while length > 0:
        chunk = stream.read(min(length, _CHUNK))
        if not chunk:
            return
        length -= len(chunk)
        yield chunk


def _sum(chunk: bytes, dtype: str) -> float:
    """Of all numbers; it is finite where each of them is (floats of 32 bits cannot overflow 64)."""
    if dtype == "F16":
        return float(sum(struct.unpack(f"<{len(chunk) // 2}e", chunk)))
    if dtype == "F64":
        values = _array("d", chunk)
        return 0.0 if all(map(math.isfinite, values)) else math.nan
    return sum(_array("f", _widened(chunk) if dtype == "BF16" else chunk))


def _widened(chunk: bytes) -> bytes:
    """The numbers of 16 bits as the upper halves of numbers of 32."""
    wide = bytearray(2 * len(chunk))
    wide[2::4], wide[3::4] = chunk[0::2], chunk[1::2]
    return bytes(wide)


def _array(kind: Literal["d", "f"], chunk: bytes) -> array.array[float]:
    values = array.array(kind, chunk)
    if sys.byteorder == "big":
        values.byteswap()
    return values

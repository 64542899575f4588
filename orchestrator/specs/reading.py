"""From a file to a document, by its ending: .yaml and .yml, .json, .toml."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.domain.errors import UsageError
from orchestrator.specs.document import Document, Mistake
from orchestrator.specs.other_sources import read_json, read_toml
from orchestrator.specs.yaml_source import read_yaml

if TYPE_CHECKING:
    from pathlib import Path

_READERS = {".json": read_json, ".toml": read_toml}
# A spec is written by hand; what is larger is the wrong file.
_MOST_BYTES = 256 * 1024


def read_document(path: Path) -> Document:
    """Read a spec file; what is wrong with its syntax is in the document.

    Raises:
        UsageError: there is no such file, or it is no text of a sensible size.
        OSError: it cannot be read.
    """
    if not path.is_file():
        raise UsageError(f"There is no spec file {path}.", hint=f"ftctl init {path}")
    if path.stat().st_size > _MOST_BYTES:
        raise UsageError(
            f"{path} is larger than {_MOST_BYTES // 1024} KiB, so it is no spec.",
            hint="ftctl plan SPEC.yaml, in which the dataset is named",
        )
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 at byte {error.start}.") from error
    document = _READERS.get(path.suffix.lower(), read_yaml)(path, text)
    if document.value is None and not document.mistakes:
        wrong = Mistake(message="The file says nothing.", fix=f"ftctl init {path.name}")
        return Document(path=path, value=None, mistakes=[wrong])
    return document

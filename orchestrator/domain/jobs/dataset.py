"""A dataset: content-addressed bytes that are ready to be uploaded."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


class Split(StrEnum):
    """What a dataset is for. Test is never uploaded."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """One stored JSONL file.

    Attributes:
        digest: SHA-256 of the bytes, in hex; its name in the store.
        bytes: size of the file.
        rows: number of examples.
        tokens: training tokens of one pass, as the target counts them; None when not counted.
        source: the path it was read from, for people.
    """

    digest: str
    bytes: int
    rows: int
    source: str
    created_at: datetime
    tokens: int | None = None

    @property
    def upload_name(self) -> str:
        """The file name at the provider, by which an upload is found again."""
        return f"ftctl-{self.digest[:32]}.jsonl"


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A dataset that lies at a provider."""

    account: str
    digest: str
    remote_id: str
    status: str
    created_at: datetime

"""What sets one host that speaks OpenAI's dialect apart from the others, as data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from orchestrator.domain.errors import ConfigurationError
from providers.refusal import explain_nothing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestrator.domain.jobs.job import JobStatus
    from orchestrator.domain.profile import Profile
    from orchestrator.domain.provider import Capabilities
    from providers.refusal import Explain

# OpenAI's and Azure's: one request carries 512 MB, and parts make a file of 8 GB.
LARGEST_REQUEST = 512 * 1024 * 1024
LARGEST_FILE = 8 * 1024 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """What sets one host apart from the others.

    Attributes:
        kind: the kind a profile names.
        capabilities: what the host can do.
        status_words: the host's words for a job's state and ours.
        processed: words of a file that a job may use.
        failed: words of a file that none ever will.
        max_tokens: the field of a chat request that bounds the answer.
        file_page: how many files a page of the list is asked to hold; None to ask for all.
        newest_event_first: how events are sorted.
        explain: better words for refusals the host is known for.
    """

    kind: str
    capabilities: Capabilities
    status_words: Mapping[str, JobStatus]
    processed: frozenset[str] = frozenset({"processed"})
    failed: frozenset[str] = frozenset({"error", "deleted"})
    max_tokens: str = "max_completion_tokens"
    file_page: int | None = 1000
    newest_event_first: bool = True
    explain: Explain = explain_nothing


def adjusted(capabilities: Capabilities, profile: Profile) -> Capabilities:
    """With what the profile says of parts: a proxy may let less through than the host takes.

    Raises:
        ConfigurationError: it says something else than a number of bytes.
    """
    wanted: dict[str, int] = {}
    for option in ("parts_above", "part_bytes"):
        value = profile.options.get(option)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ConfigurationError(
                f"{option} in [providers.{profile.name}] must be a number of bytes."
            )
        wanted[option] = value
    return replace(
        capabilities,
        parts_above=wanted.get("parts_above", capabilities.parts_above),
        part_bytes=wanted.get("part_bytes", capabilities.part_bytes),
    )

"""OpenAI. New jobs end with the platform's wind-down; those that run are followed to their end.

Source: openai/openai-openapi (tests/contracts/openai-fine-tuning.openapi.yaml), and words the
service was seen to use beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.domain.jobs.job import JobStatus, Method
from orchestrator.domain.provider import Capabilities
from providers.connection import address, required_key
from providers.dialect import LARGEST_FILE, LARGEST_REQUEST, Dialect
from providers.wire import WireProvider

if TYPE_CHECKING:
    from orchestrator.domain.profile import Profile
    from providers.connection import Transport
    from providers.retry import Retry

BASE_URL = "https://api.openai.com/v1"

DIALECT = Dialect(
    kind="openai",
    capabilities=Capabilities(
        methods=frozenset(Method),
        metadata_filter=True,
        pause=True,
        max_file_bytes=LARGEST_FILE,
        parts_above=LARGEST_REQUEST,
        checkpoint_sharing=True,
        delete_model=True,
        integrations=True,
        prices="openai",
        model_dates=True,
    ),
    status_words={
        "validating_files": JobStatus.QUEUED,
        "queued": JobStatus.QUEUED,
        "running": JobStatus.RUNNING,
        "pausing": JobStatus.RUNNING,  # seen, not described
        "paused": JobStatus.PAUSED,  # published in an example, not in the enum
        "succeeded": JobStatus.SUCCEEDED,
        "failed": JobStatus.FAILED,
        "cancelled": JobStatus.CANCELLED,
    },
)


def build(
    profile: Profile, *, transport: Transport | None = None, retry: Retry | None = None
) -> WireProvider:
    """The account whose key the profile holds.

    Raises:
        MissingCredentials, ConfigurationError: see `required_key` and `checked_url`.
    """
    where = address(profile, profile.base_url or BASE_URL, required_key(profile))
    return WireProvider(DIALECT, profile, where, transport=transport, retry=retry)

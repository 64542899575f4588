"""Any host that speaks OpenAI's fine-tuning dialect. What it can do, the profile says.

Built as an outsider would build it: from the domain and from the kit that docs/adding-a-provider.md
describes, registered by an entry point.

| option | says | default |
| --- | --- | --- |
| `methods` | how it trains | `["supervised"]` |
| `metadata` | jobs take metadata and echo it | `true` |
| `metadata_filter` | the list of jobs obeys it | `false` |
| `suffix_limit` | longest suffix; 0 where there is none | `64` |
| `min_rows` | fewest examples | `10` |
| `pause`, `integrations`, `delete_model`, `delete_job`, `checkpoint_sharing` | it can | `false` |
| `checkpoints` | it lists them | `true` |
| `uploads` | files above 512 MB travel in parts | `false` |
| `max_tokens` | the field that bounds an answer | `"max_completion_tokens"` |
| `hyperparameters` | `"method"`, or `"top"` for hosts older than `method` | `"method"` |
| `words` | further words for a job's state, and ours | `{}` |
| `prices` | its name in a price file | the profile's own |

Where jobs take no metadata, our token travels at the end of the suffix; where a suffix is too short
for it, in the name of the training file.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from orchestrator.domain.errors import ConfigurationError
from orchestrator.domain.jobs.job import JobStatus, Method
from orchestrator.domain.provider import TOKEN_IN_SUFFIX, Capabilities, TokenCarrier
from providers.connection import address, required_key
from providers.dialect import LARGEST_FILE, LARGEST_REQUEST, Dialect
from providers.wire import WireProvider

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.domain.jobs.job import Checkpoint
    from orchestrator.domain.profile import Profile
    from orchestrator.domain.provider import JobRequest
    from providers.connection import Transport
    from providers.retry import Retry

WORDS = {
    "created": JobStatus.QUEUED,
    "pending": JobStatus.QUEUED,
    "validating_files": JobStatus.QUEUED,
    "queued": JobStatus.QUEUED,
    "running": JobStatus.RUNNING,
    "paused": JobStatus.PAUSED,
    "succeeded": JobStatus.SUCCEEDED,
    "completed": JobStatus.SUCCEEDED,
    "failed": JobStatus.FAILED,
    "error": JobStatus.FAILED,
    "cancelled": JobStatus.CANCELLED,
    "canceled": JobStatus.CANCELLED,
}

_FLAGS = (
    "metadata_filter", "pause", "integrations", "delete_model", "delete_job", "checkpoint_sharing",
)  # fmt: skip


def build(
    profile: Profile, *, transport: Transport | None = None, retry: Retry | None = None
) -> WireProvider:
    """The host at the profile's `base_url`.

    Raises:
        MissingCredentials: there is no key.
        ConfigurationError: no base_url, or an option that makes no sense.
    """
    if not profile.base_url:
        raise ConfigurationError(
            f"The provider '{profile.name}' has no address.",
            hint=f'base_url = "https://HOST/v1" under [providers.{profile.name}]',
        )
    where = address(profile, profile.base_url, required_key(profile))
    return CompatibleProvider(_Options(profile), profile, where, transport=transport, retry=retry)


class CompatibleProvider(WireProvider):
    """The dialect, less what the host does not offer."""

    def __init__(self, options: _Options, profile: Profile, *where: Any, **more: Any) -> None:
        """Read the profile; connect nothing yet."""
        super().__init__(options.dialect(), profile, *where, **more)
        self._lists_checkpoints = options.flag("checkpoints", default=True)
        self._at_the_top = options.choice("hyperparameters", ("method", "top")) == "top"

    def checkpoints(self, remote_id: str) -> Sequence[Checkpoint]:
        """Every checkpoint; none from a host that lists none, without asking it."""
        return super().checkpoints(remote_id) if self._lists_checkpoints else []

    def _job_body(self, request: JobRequest) -> dict[str, Any]:
        body = super()._job_body(request)
        if self._at_the_top:
            method = body.pop("method")
            chosen = method.get(method["type"], {}).get("hyperparameters")
            body |= {"hyperparameters": chosen} if chosen else {}
        return body


class _Options:
    """What the profile says, checked."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile

    def dialect(self) -> Dialect:
        metadata = self.flag("metadata", default=True)
        suffix = self.number("suffix_limit", 64)
        carrier = TokenCarrier.METADATA
        if not metadata:
            carrier = TokenCarrier.SUFFIX if suffix >= TOKEN_IN_SUFFIX else TokenCarrier.FILE
        uploads = self.flag("uploads", default=False)
        capabilities = Capabilities(
            methods=self.methods(),
            metadata=metadata,
            token_in=carrier,
            suffix_limit=suffix,
            min_rows=self.number("min_rows", 10),
            max_file_bytes=LARGEST_FILE if uploads else LARGEST_REQUEST,
            parts_above=LARGEST_REQUEST if uploads else None,
            prices=self.text("prices") or self._profile.name,
        )
        can = {name: self.flag(name, default=False) for name in _FLAGS}
        return Dialect(
            kind="compatible",
            capabilities=replace(capabilities, **can),  # type: ignore[arg-type]
            status_words={**WORDS, **self.words()},
            max_tokens=self.text("max_tokens") or "max_completion_tokens",
        )

    def methods(self) -> frozenset[Method]:
        given = self._value("methods", [str(Method.SUPERVISED)])
        known = [str(method) for method in Method]
        if not isinstance(given, list) or not given or any(each not in known for each in given):
            raise self._wrong("methods", f"a list of {', '.join(known)}")
        return frozenset(map(Method, given))

    def words(self) -> dict[str, JobStatus]:
        given = self._value("words", {})
        ours = [str(status) for status in dict.fromkeys(WORDS.values())]
        if not isinstance(given, dict) or any(word not in ours for word in given.values()):
            raise self._wrong("words", f"a table of the host's words, each {', '.join(ours)}")
        return {word: JobStatus(status) for word, status in given.items()}

    def flag(self, name: str, *, default: bool) -> bool:
        value = self._value(name, default)
        if not isinstance(value, bool):
            raise self._wrong(name, "true or false")
        return value

    def number(self, name: str, default: int) -> int:
        value = self._value(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise self._wrong(name, "a number of at least 0")
        return value

    def text(self, name: str) -> str | None:
        value = self._value(name, None)
        if value is not None and not isinstance(value, str):
            raise self._wrong(name, "a text")
        return value

    def choice(self, name: str, known: tuple[str, ...]) -> str:
        value = self._value(name, known[0])
        if value not in known:
            raise self._wrong(name, " or ".join(f'"{each}"' for each in known))
        return str(value)

    def _value(self, name: str, default: Any) -> Any:
        return self._profile.options.get(name, default)

    def _wrong(self, name: str, wanted: str) -> ConfigurationError:
        return ConfigurationError(f"{name} in [providers.{self._profile.name}] must be {wanted}.")

"""What providers answer, turned into what ftctl knows.

Lenient on purpose: the examples providers publish break their own schemas, and fields come, go
and turn null. Only an id is asked for; what is missing stays None, and a word nobody knows stays
visible in `remote_status`. The answer itself is kept beside what was made of it.

Source: the published descriptions and their examples (tests/contracts), and what services were
seen to send besides.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from orchestrator.domain.chat import ChatAnswer
from orchestrator.domain.errors import ProviderUnreachable
from orchestrator.domain.housekeeping import Permission
from orchestrator.domain.jobs.job import Checkpoint, JobEvent, Method, RemoteError
from orchestrator.domain.provider import RemoteFile, RemoteJob, RemoteModel, TokenCarrier

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orchestrator.domain.jobs.job import JobStatus

    Raw = Mapping[str, Any]

#: What the ledger keeps of a status; a longer one is no word.
LONGEST_WORD = 64
LONGEST_FILE_WORD = 32
TOKEN_KEY = "ftctl_token"  # noqa: S105 - the name of a metadata field, not a secret

_TOKEN = "[0-9a-hjkmnp-tv-z]{26}"  # noqa: S105 - its alphabet, not a secret
_TOKEN_AT_THE_END = re.compile(f"(?:^|-)({_TOKEN})$")
_TOKEN_INSIDE = re.compile(f"[-:]({_TOKEN})(?=$|[-:])")
_TOKEN_IN_FILE = re.compile(f"ftctl-({_TOKEN})\\.jsonl")

# Longer ones fit into no column, and neither spaces nor controls go into the path of a request.
_AN_ID = re.compile(r"[!-~]{1,255}")
_LEVELS = {"warn": "warning", "warning": "warning", "error": "error"}


def remote_job(
    raw: Raw,
    words: Mapping[str, JobStatus],
    carrier: TokenCarrier = TokenCarrier.METADATA,
) -> RemoteJob:
    """A fine-tuning job. A token in a file's name is for the caller to find.

    Raises:
        ProviderUnreachable: the answer carries no id, so it is not a job.
    """
    word = _text(raw.get("status")) or ""
    return RemoteJob(
        id=_id(raw, "job"),
        status=words.get(word),
        remote_status=word[:LONGEST_WORD],
        model=_text(raw.get("model")) or "",
        token=_token(raw, carrier),
        tuned_model=_text(raw.get("fine_tuned_model")),
        error=_error(raw.get("error")),
        trained_tokens=_count(raw.get("trained_tokens")),
        training_file=_text(raw.get("training_file")),
        validation_file=_text(raw.get("validation_file")),
        method=_method(raw),
        grader=_table(_table(raw.get("method")).get("reinforcement")).get("grader"),
        suffix=_text(raw.get("user_provided_suffix")) or _text(raw.get("suffix")),
        seed=_count(raw.get("seed")),
        created_at=moment(raw.get("created_at")),
        finished_at=moment(raw.get("finished_at")),
        estimated_finish=moment(raw.get("estimated_finish")),
        result_files=tuple(_texts(raw.get("result_files"))),
        hyperparameters=_hyperparameters(raw),
        raw=raw,
    )


def remote_file(
    raw: Raw,
    processed: frozenset[str] = frozenset({"processed"}),
    failed: frozenset[str] = frozenset(),
) -> RemoteFile:
    """A file. One without a status counts as processed: OpenAI has deprecated the field.

    Raises:
        ProviderUnreachable: the answer carries no id, so it is not a file.
    """
    status = _text(raw.get("status"))
    return RemoteFile(
        id=_id(raw, "file"),
        name=_text(raw.get("filename")) or "",
        bytes=_count(raw.get("bytes")),
        status=(status or "")[:LONGEST_FILE_WORD],
        processed=status is None or status in processed,
        failed=status in failed,
        created_at=moment(raw.get("created_at")),
        purpose=_text(raw.get("purpose")) or "",
        expires_at=moment(raw.get("expires_at")),
    )


def token_in_name(name: str) -> str | None:
    """The token in the name of a training file."""
    found = _TOKEN_IN_FILE.search(name)
    return found[1] if found else None


def permission(raw: Raw) -> Permission:
    """A project that may use a checkpoint.

    Raises:
        ProviderUnreachable: the answer carries no id, so it is not a permission.
    """
    return Permission(
        id=_id(raw, "permission"),
        project=_text(raw.get("project_id")) or "",
        created_at=moment(raw.get("created_at")),
    )


def job_events(raw: Sequence[Raw], *, newest_first: bool = True) -> list[JobEvent]:
    """Events oldest first, each once; keys stay the same when a provider changes its ids.

    Args:
        raw: as the provider lists them.
        newest_first: how this provider is known to sort; it decides where all times are the same.
    """
    timed = [(moment(event.get("created_at")), event) for event in raw]
    known = [(at, event) for at, event in timed if at is not None]
    descending = known[0][0] > known[-1][0] if known else False
    same = known[0][0] == known[-1][0] if known else False
    if descending or (same and newest_first):
        known.reverse()
    found: dict[str, JobEvent] = {}
    for at, event in sorted(known, key=lambda pair: pair[0]):
        mapped = _event(at, event)
        found.setdefault(mapped.key, mapped)
    return list(found.values())


def checkpoint(raw: Raw) -> Checkpoint:
    """A saved state of the weights.

    Raises:
        ProviderUnreachable: the answer carries no id, so it is not a checkpoint.
    """
    return Checkpoint(
        remote_id=_id(raw, "checkpoint"),
        model=_text(raw.get("fine_tuned_model_checkpoint")) or "",
        step=_step(raw.get("step_number")),
        created_at=moment(raw.get("created_at")) or datetime.fromtimestamp(0, UTC),
        metrics={
            name: float(value)
            for name, value in _table(raw.get("metrics")).items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        },
    )


def chat_answer(raw: Raw, latency: float) -> ChatAnswer:
    """An answer with its usage; `latency` in seconds.

    Raises:
        ProviderUnreachable: there is no choice in it.
    """
    choices = raw.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise ProviderUnreachable("The model's answer came without a choice in it.")
    message = _table(choices[0].get("message"))
    usage = _table(raw.get("usage"))
    calls = message.get("tool_calls")
    return ChatAnswer(
        text=_content(message),
        finish_reason=_text(choices[0].get("finish_reason")),
        prompt_tokens=_count(usage.get("prompt_tokens")) or 0,
        completion_tokens=_count(usage.get("completion_tokens")) or 0,
        latency=latency,
        cached_tokens=_count(_table(usage.get("prompt_tokens_details")).get("cached_tokens")) or 0,
        reasoning_tokens=_count(
            _table(usage.get("completion_tokens_details")).get("reasoning_tokens")
        )
        or 0,
        tool_calls=tuple(calls) if isinstance(calls, list) else (),
        raw=raw,
    )


def remote_models(raw: Raw) -> list[RemoteModel]:
    """The models of a list; an entry without a name is left out.

    OpenAI writes `shutdown_date` (a day or null), Azure `deprecation` (Unix seconds for `inference`
    and `fine_tune`).

    Raises:
        ProviderUnreachable: it is not a list.
    """
    data = raw.get("data")
    if not isinstance(data, list):
        raise ProviderUnreachable("The list of models came without a list in it.")
    found = []
    for entry in data:
        table = _table(entry)
        name, ends = _text(table.get("id")), _table(table.get("deprecation"))
        if name:
            found.append(
                RemoteModel(
                    id=name,
                    serving_ends=_day(table.get("shutdown_date")) or _day(ends.get("inference")),
                    training_ends=_day(ends.get("fine_tune")),
                )
            )
    return found


def moment(value: Any) -> datetime | None:
    """Unix seconds as aware UTC; None for anything that is no time."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return datetime.fromtimestamp(value, UTC)
    except (OverflowError, OSError, ValueError):
        return None


def _token(raw: Raw, carrier: TokenCarrier) -> str | None:
    metadata = _text(_table(raw.get("metadata")).get(TOKEN_KEY))
    if metadata or carrier is not TokenCarrier.SUFFIX:
        return metadata
    for field in ("suffix", "user_provided_suffix"):
        found = _TOKEN_AT_THE_END.search(_text(raw.get(field)) or "")
        if found:
            return found[1]
    inside = _TOKEN_INSIDE.search(_text(raw.get("fine_tuned_model")) or "")
    return inside[1] if inside else None


def _day(value: Any) -> date | None:
    """A day, from text that begins with one or from Unix seconds; None for anything else."""
    if isinstance(value, str):
        try:
            return date.fromisoformat(value.strip()[:10])
        except ValueError:
            return None
    # Zero is how some hosts write that there is none.
    at = moment(value) if value else None
    return at.date() if at else None


def _event(at: datetime, raw: Raw) -> JobEvent:
    level, message = _text(raw.get("level")) or "info", _text(raw.get("message")) or ""
    data = raw.get("data")
    # Two metrics may carry the same text in the same second; their step tells them apart.
    step = data.get("step") if isinstance(data, dict) else None
    told_apart_by = (
        f"{at.timestamp()}\x1f{level}\x1f{message}\x1f{step if step is not None else ''}"
    )
    return JobEvent(
        key=hashlib.sha256(told_apart_by.encode("utf-8", "replace")).hexdigest()[:32],
        at=at,
        level=_LEVELS.get(level, "info"),
        message=message,
        data=data if isinstance(data, dict) and data else None,
    )


def _error(raw: Any) -> RemoteError | None:
    table = _table(raw)
    message, code = _text(table.get("message")), _text(table.get("code"))
    if not message and not code:
        return None
    return RemoteError(message=message or code or "", code=code, param=_text(table.get("param")))


def _method(raw: Raw) -> Method | None:
    word = _text(_table(raw.get("method")).get("type"))
    return Method(word) if word in set(Method) else None


def _hyperparameters(raw: Raw) -> dict[str, Any]:
    method = _table(raw.get("method"))
    inner = _table(_table(method.get(_text(method.get("type")) or "")).get("hyperparameters"))
    merged = {**_table(raw.get("hyperparameters")), **inner}
    # Azure writes -1 where OpenAI writes "auto".
    return {name: "auto" if value == -1 else value for name, value in merged.items()}


def _content(message: Raw) -> str:
    content = message.get("content")
    if isinstance(content, list):
        return "".join(_text(_table(part).get("text")) or "" for part in content)
    return _text(content) or _text(message.get("refusal")) or ""


def is_id(value: Any) -> bool:
    """Whether that can name something: it goes into paths of requests, and is kept for years."""
    return isinstance(value, str) and _AN_ID.fullmatch(value) is not None


def _id(raw: Raw, what: str) -> str:
    found = _text(raw.get("id"))
    if found is None or not is_id(found):
        raise ProviderUnreachable(f"The answer carries no id, so it is not a {what}.")
    return found


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _texts(value: Any) -> list[str]:
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _count(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if abs(value) < 2**63 else None


def _step(value: Any) -> int:
    """A step; 0 for what is none, or what no column holds."""
    found = _count(value) or 0
    return found if 0 <= found < 2**31 else 0

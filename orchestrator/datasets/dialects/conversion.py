"""Turn any dialect into OpenAI chat or preference rows; every loss is named, none is silent."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from orchestrator.datasets.dialects.detecting import detect
from orchestrator.datasets.dialects.dialects import DIALECTS
from orchestrator.datasets.dialects.from_datasets import DATASET_DIALECTS
from orchestrator.datasets.dialects.from_exports import EXPORT_DIALECTS
from orchestrator.datasets.dialects.from_messages import MESSAGE_DIALECTS
from orchestrator.datasets.dialects.from_pairs import PAIR_DIALECTS
from orchestrator.datasets.dialects.from_preferences import PREFERENCE_DIALECTS
from orchestrator.datasets.dialects.from_rendered import RENDERED_DIALECTS
from orchestrator.datasets.dialects.from_traces import TRACE_DIALECTS
from orchestrator.datasets.dialects.from_transcripts import TRANSCRIPT_DIALECTS
from orchestrator.datasets.dialects.from_vendors import VENDOR_DIALECTS
from orchestrator.datasets.dialects.to_dialects import TARGETS
from orchestrator.datasets.dialects.turns import Unconvertible
from orchestrator.domain.errors import UsageError
from orchestrator.domain.jobs.job import Method

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from orchestrator.datasets.dialects.turns import Turned


@dataclass(frozen=True, kw_only=True)
class Converted:
    """What became of one record.

    Attributes:
        row: the row; None when the record could not be converted.
        dialect: what the record was taken for; None when its shape is unknown.
        losses: what of the record is not in the row.
        notes: what the row has that the record did not say (ids that were made up, a join).
        refusal: why there is no row.
    """

    row: dict[str, Any] | None = None
    dialect: str | None = None
    losses: Sequence[str] = ()
    notes: Sequence[str] = ()
    refusal: str | None = None


@dataclass(kw_only=True)
class Options:
    """How to convert.

    Attributes:
        dialect: what every record is; detected record by record when None.
        method: dpo keeps both sides of a preference; supervised keeps the preferred one.
        system: a system message for rows that have none.
        allow_loss: write rows that lost something.
        to: the dialect to write; OpenAI's own when None.
    """

    dialect: str | None = None
    method: Method = Method.SUPERVISED
    system: str | None = None
    allow_loss: bool = False
    to: str | None = None
    known: Mapping[str, str] = field(default_factory=lambda: DIALECTS)

    def __post_init__(self) -> None:
        """Refuse a dialect there is no converter for."""
        if self.to is not None and self.to not in TARGETS:
            raise UsageError(
                f"Nothing here writes the dialect {self.to!r}.", hint=f"--to {'|'.join(TARGETS)}"
            )
        if self.dialect is not None and self.dialect not in self.known:
            raise UsageError(
                f"There is no dialect {self.dialect!r}.", hint=f"--from {'|'.join(self.known)}"
            )


def convert_record(record: object, options: Options) -> Converted:
    """Convert one record.

    Args:
        record: any JSON value.
        options: how to convert.

    Returns:
        The row or the reason why there is none; never an exception, whatever the record is.
    """
    if not isinstance(record, dict):
        return Converted(refusal="the record is not an object")
    dialect = options.dialect or detect(record)
    if dialect is None:
        keys = ", ".join(map(str, list(record)[:8]))
        how = 'name them: --map "user={KEY}" --map "assistant={KEY.INNER}"'
        return Converted(refusal=f"its shape is unknown (keys: {keys}); {how}")
    if record.get("kto_tag") is False or (dialect in _LABELLED and record.get("label") is False):
        return Converted(dialect=dialect, refusal="the answer is labelled as not wanted")
    try:
        turned = _converter(dialect, options.method)(record)
    except Unconvertible as error:
        return Converted(dialect=dialect, refusal=str(error))
    except KeyError as error:
        return Converted(dialect=dialect, refusal=f"it is no {dialect} record: {error} is missing")
    except (TypeError, ValueError, IndexError, AttributeError, StopIteration) as error:
        return Converted(dialect=dialect, refusal=f"it is no {dialect} record ({error})")
    return _finished(turned, dialect, options)


def _converter(dialect: str, method: Method) -> Callable[[dict[str, Any]], Turned]:
    if method is Method.DPO:
        if dialect not in PREFERENCE_DIALECTS:
            raise Unconvertible("it has no rejected answer")
        return PREFERENCE_DIALECTS[dialect]
    if dialect in PREFERENCE_DIALECTS:
        return lambda record: PREFERENCE_DIALECTS[dialect](record).preferred_side()
    return _CHAT[dialect]


_CHAT: dict[str, Callable[[dict[str, Any]], Turned]] = {
    **MESSAGE_DIALECTS,
    **PAIR_DIALECTS,
    **VENDOR_DIALECTS,
    **TRANSCRIPT_DIALECTS,
    **DATASET_DIALECTS,
    **EXPORT_DIALECTS,
    **RENDERED_DIALECTS,
    **TRACE_DIALECTS,
}


def _finished(turned: Turned, dialect: str, options: Options) -> Converted:
    if turned.losses and not options.allow_loss:
        lost = "; ".join(turned.losses)
        refusal = f"{lost} would be lost (--allow-loss writes the row without)"
        return Converted(dialect=dialect, losses=turned.losses, refusal=refusal)
    row = turned.row
    messages = row["input"]["messages"] if "input" in row else row["messages"]
    first = messages[0] if messages and isinstance(messages[0], dict) else {}
    if options.system is not None and str(first.get("role")) not in _INSTRUCTIONS:
        messages.insert(0, {"role": "system", "content": options.system})
    made = Converted(row=row, dialect=dialect, losses=turned.losses, notes=turned.notes)
    return made if options.to is None else _written_as(made, row, options)


def _written_as(made: Converted, row: dict[str, Any], options: Options) -> Converted:
    """The row in the dialect that was asked for."""
    try:
        turned = TARGETS[str(options.to)](row)
    except Unconvertible as error:
        return replace(made, row=None, refusal=f"{options.to} cannot hold the row: {error}")
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        return replace(made, row=None, refusal=f"it is no valid row ({error!r})")
    losses = [*made.losses, *dict.fromkeys(turned.losses)]
    if turned.losses and not options.allow_loss:
        lost = "; ".join(losses)
        refusal = f"{options.to} would lose {lost} (--allow-loss writes the row without)"
        return replace(made, row=None, losses=losses, refusal=refusal)
    return replace(made, row=turned.row, losses=losses, notes=[*made.notes, *turned.notes])


_LABELLED = frozenset({"kto", "trl.unpaired"})
_INSTRUCTIONS = frozenset({"system", "developer"})

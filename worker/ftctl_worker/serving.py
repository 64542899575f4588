"""Models kept in memory for chats: few bases, some adapters on each, the least used goes first."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from jinja2 import TemplateError

from ftctl_worker import adapters
from ftctl_worker.decoding import Prefix, RowState, decode, shared_length
from ftctl_worker.errors import AdapterError, ModelError
from ftctl_worker.loading import LoadedBase, load_base, use_threads
from ftctl_worker.rendering import prompt_text
from ftctl_worker.replies import Delta, Done, Failed
from ftctl_worker.slots import BASE_ALONE, Slots, can_mix

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ftctl_worker.bases import BaseModel
    from ftctl_worker.engine import Ticket
    from ftctl_worker.settings import Precision

__all__ = ["Shelf"]

_MOST_BASES = 2
_MOST_ADAPTERS = 32
_LONG_BEGINNING = 64
_MOST_PROMPT_TOKENS = 16_384
_DEFAULT_NEW_TOKENS = 1024


@dataclass
class _Served:
    """A base model with its adapters, and the beginnings of prompts by adapter.

    ``whole`` is the adapter that is bound to the model by peft, because it is not plain LoRA.
    """

    base: LoadedBase
    slots: Slots
    prefixes: dict[str, Prefix] = field(default_factory=dict)
    whole: Path | None = None

    @property
    def can_reuse(self) -> bool:
        """Whether every layer attends to everything before it, so that a cache can be cut."""
        config = self.base.model.config
        kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
        return kinds == {"full_attention"} and not getattr(config, "sliding_window", None)

    def load(self, adapter: Path | None) -> str:
        """Load an adapter, and return the name of its slot."""
        if adapter is None or self.whole is not None:
            return BASE_ALONE
        name = _identity(adapter)
        for gone in self.slots.load(adapter, name):
            self.prefixes.pop(gone, None)
        return name


class Shelf:
    """Loads what a request needs, and answers batches with it."""

    def __init__(self, *, cache: Path, threads: int, precision: Precision) -> None:
        """Start empty."""
        use_threads(threads)
        self._cache = cache
        self._precision = precision
        self._shelf: OrderedDict[tuple[BaseModel, Path | None], _Served] = OrderedDict()

    def answer(self, tickets: Sequence[Ticket]) -> None:
        """Answer requests of one base model; each gets its own end or failure."""
        for key, some in _by_weights(tickets).items():
            try:
                served = self._served(*key)
            except ModelError as error:
                _refuse(some, error)
                continue
            for portion in _portions(some):
                for group in _groups(_ready(portion, served)):
                    _answer_group(group, served)

    def _served(self, base: BaseModel, whole: Path | None) -> _Served:
        key = (base, whole)
        if key not in self._shelf:
            while len(self._shelf) >= _MOST_BASES:
                self._shelf.popitem(last=False)
            loaded = load_base(base, precision=self._precision, cache=self._cache)
            if whole is not None:
                merged = adapters.load(loaded.model, whole, "default").merge_and_unload()
                loaded = replace(loaded, model=merged)
            self._shelf[key] = _Served(loaded, Slots(loaded.model, _MOST_ADAPTERS), whole=whole)
        self._shelf.move_to_end(key)
        return self._shelf[key]


@dataclass(frozen=True)
class _Ready:
    """A request that can be answered: its prompt, and the slot of its adapter."""

    ticket: Ticket
    row: RowState
    slot: str


def _by_weights(
    tickets: Sequence[Ticket],
) -> dict[tuple[BaseModel, Path | None], list[Ticket]]:
    """Sort tickets by the weights in memory that answer them: a base, or a base changed whole."""
    found: dict[tuple[BaseModel, Path | None], list[Ticket]] = {}
    for ticket in tickets:
        adapter = ticket.target.adapter
        whole = None if adapter is None or can_mix(adapter) else adapter
        found.setdefault((ticket.target.base, whole), []).append(ticket)
    return found


def _portions(tickets: Sequence[Ticket]) -> Iterator[list[Ticket]]:
    """Cut where more adapters were needed at once than are kept."""
    portion: list[Ticket] = []
    adapters_seen: set[Path | None] = set()
    for ticket in tickets:
        if len(adapters_seen | {ticket.target.adapter}) > _MOST_ADAPTERS:
            yield portion
            portion, adapters_seen = [], set()
        portion.append(ticket)
        adapters_seen.add(ticket.target.adapter)
    if portion:
        yield portion


def _ready(tickets: Sequence[Ticket], served: _Served) -> list[_Ready]:
    """Turn requests into prompts and load their adapters; each that cannot be is told so."""
    ready = []
    for ticket in tickets:
        if ticket.cancelled or (row := _row(ticket, served.base)) is None:
            continue
        try:
            ready.append(_Ready(ticket, row, served.load(ticket.target.adapter)))
        except ModelError as error:
            _refuse([ticket], error)
    return ready


def _refuse(tickets: Sequence[Ticket], error: ModelError) -> None:
    # An adapter that does not fit is no better later; a base may be.
    code = "adapter_not_usable" if isinstance(error, AdapterError) else "server_error"
    for ticket in tickets:
        ticket.deliver(Failed(code, str(error)))


def _identity(adapter: Path) -> str:
    """A name for the weights in a folder; other weights there have another one.

    Raises:
        AdapterError: there are none.
    """
    try:
        found = (adapter / adapters.WEIGHTS_FILE).stat()
    except OSError as error:
        raise AdapterError(f"The adapter in {adapter.name} is gone.") from error
    return f"{adapter}#{found.st_ino}-{found.st_mtime_ns}"


def _row(ticket: Ticket, base: LoadedBase) -> RowState | None:
    """Turn a request into a prompt; None where it was refused."""
    chat = ticket.chat
    try:
        text = prompt_text(base.tokenizer, chat.messages, chat.tools)
    except (TemplateError, TypeError, ValueError) as error:
        ticket.deliver(Failed("invalid_messages", f"The model's chat template refused: {error}"))
        return None
    ids = base.tokenizer([text], add_special_tokens=False)["input_ids"][0]
    room = base.context - len(ids)
    if room < 1 or not ids:
        ticket.deliver(
            Failed(
                "context_length_exceeded",
                f"This model's maximum context length is {base.context} tokens, but the messages "
                f"hold {len(ids)}.",
            )
        )
        return None
    return RowState(
        ids=ids,
        max_new=min(room, chat.max_tokens or _DEFAULT_NEW_TOKENS),
        temperature=chat.temperature,
        top_p=chat.top_p,
        seed=secrets.randbits(63) if chat.seed is None else chat.seed,
        stop=chat.stop,
        emit=lambda piece, tokens: ticket.deliver(Delta(piece, tokens)),
        top_logprobs=chat.top_logprobs,
        is_cancelled=lambda: ticket.cancelled,
    )


def _groups(ready: list[_Ready]) -> list[list[_Ready]]:
    """Split a batch where its padded prompts would take too much memory at once.

    Requests of one adapter that share a long beginning stay among themselves: it is read once.
    """
    groups: list[list[_Ready]] = []
    for some in _sharing(ready):
        fresh = True
        for one in sorted(some, key=lambda each: len(each.row.ids)):
            size = 0 if fresh else (len(groups[-1]) + 1) * len(one.row.ids)
            if fresh or size > _MOST_PROMPT_TOKENS:
                groups.append([one])
            else:
                groups[-1].append(one)
            fresh = False
    return groups


def _sharing(ready: list[_Ready]) -> list[list[_Ready]]:
    by_slot: dict[str, list[_Ready]] = {}
    for one in ready:
        by_slot.setdefault(one.slot, []).append(one)
    if len(by_slot) == 1:
        return [ready]
    mixed: list[_Ready] = []
    alone: list[list[_Ready]] = []
    for some in by_slot.values():
        shared = min(shared_length(some[0].row.ids, one.row.ids) for one in some)
        if len(some) > 1 and shared >= _LONG_BEGINNING:
            alone.append(some)
        else:
            mixed += some
    return [*alone, mixed] if mixed else alone


def _answer_group(group: list[_Ready], served: _Served) -> None:
    slots = [one.slot for one in group]
    same = len(set(slots)) == 1
    prefix = served.prefixes.setdefault(slots[0], Prefix()) if same and served.can_reuse else None
    served.slots.choose(slots)
    calls = "<tool_call>" in str(served.base.tokenizer.chat_template)
    known = decode(
        served.base.model,
        served.base.tokenizer,
        [one.row for one in group],
        eos_ids=served.base.eos_ids,
        pad_id=served.base.pad_id,
        prefix=prefix,
        keep=served.slots.keep,
    )
    for one in group:
        row = one.row
        one.ticket.deliver(
            Done(row.finish_reason or "stop", len(row.ids), len(row.new_ids), known, calls)
        )

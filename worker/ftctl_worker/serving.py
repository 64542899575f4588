"""Models kept in memory for chats: few bases, some adapters on each, the least used goes first."""

from __future__ import annotations

import secrets
from collections import OrderedDict, deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from jinja2 import TemplateError

from ftctl_worker import adapters
from ftctl_worker.decoding import Decoder, Prefix, shared_length
from ftctl_worker.errors import AdapterError, ModelError
from ftctl_worker.kv_cache import attends_to_all
from ftctl_worker.loading import LoadedBase, load_base, use_threads
from ftctl_worker.rendering import prompt_text
from ftctl_worker.replies import Delta, Done, Failed
from ftctl_worker.row_state import RowState
from ftctl_worker.slots import BASE_ALONE, Slots, can_mix

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from ftctl_worker.bases import BaseModel
    from ftctl_worker.engine import Ticket
    from ftctl_worker.settings import Precision

    More = Callable[[int], Sequence[Ticket]]
    _Key = tuple[BaseModel, Path | None]

__all__ = ["Shelf"]

_MOST_BASES = 2
_MOST_ADAPTERS = 32
_LONG_BEGINNING = 64
_MOST_PROMPT_TOKENS = 16_384
_MOST_TOKENS = 32_768
_DEFAULT_NEW_TOKENS = 1024


def _nothing(_: int) -> Sequence[Ticket]:
    return ()


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
        """Whether the beginning of a prompt can be kept for the next one."""
        return attends_to_all(self.base.model.config)

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
        self._shelf: OrderedDict[_Key, _Served] = OrderedDict()

    def answer(self, tickets: Sequence[Ticket], more: More = _nothing) -> None:
        """Answer requests of one base model; each gets its own end or failure.

        ``more`` is asked between two tokens for requests that came meanwhile, with how many are
        being answered.
        """
        waiting = _by_weights(tickets)
        while waiting:
            key, some = waiting.popitem(last=False)
            try:
                served = self._served(*key)
            except ModelError as error:
                _refuse(some, error)
                continue
            table = _Table(served, some)
            while table.go_on():
                # Those of other weights have their turn once the table is empty.
                if not waiting:
                    for other, late in _by_weights(more(table.size)).items():
                        if other == key:
                            table.queue.extend(late)
                        else:
                            waiting[other] = late

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
    """A request that can be answered, and its prompt."""

    ticket: Ticket
    row: RowState


class _Table:
    """The requests that are answered together over one base, and those that wait for a place."""

    def __init__(self, served: _Served, tickets: Sequence[Ticket]) -> None:
        base = served.base
        self.queue = deque(tickets)
        self._served = served
        self._ready: list[_Ready] = []
        self._calls = "<tool_call>" in str(base.tokenizer.chat_template)
        self._decoder = Decoder(
            base.model,
            base.tokenizer,
            eos_ids=base.eos_ids,
            pad_id=base.pad_id,
            choose=served.slots.choose,
        )

    @property
    def size(self) -> int:
        """How many requests sit or wait here."""
        return len(self._ready) + len(self.queue)

    def go_on(self) -> bool:
        """Seat whom there is room for, and take one token each; False where nobody is left."""
        if self.queue and self._decoder.can_join:
            self._seat()
        self._decoder.step()
        self._dismiss()
        return bool(self.queue or self._ready)

    def _seat(self) -> None:
        coming: list[_Ready] = []
        self._served.slots.keep_loaded({one.row.slot for one in self._ready})
        while self.queue:
            ticket = self.queue[0]
            row = None if ticket.cancelled else _row(ticket, self._served.base)
            if row is not None and not self._has_room([*self._ready, *coming], ticket, row):
                break
            self.queue.popleft()
            if row is not None and self._load(ticket, row):
                coming.append(_Ready(ticket, row))
        self._ready += coming
        for group in _groups(coming):
            # Rows of one adapter beside each other are read without being gathered first.
            rows = sorted((one.row for one in group), key=lambda row: row.slot)
            same = len({row.slot for row in rows}) == 1
            reuse = same and self._served.can_reuse
            prefix = self._served.prefixes.setdefault(rows[0].slot, Prefix()) if reuse else None
            self._decoder.join(rows, prefix)

    def _has_room(self, seated: Sequence[_Ready], ticket: Ticket, row: RowState) -> bool:
        """Tell whether the table holds one more at its longest, and the adapters of all."""
        if not seated:
            return True
        longest = max(_extent(one.row) for one in (*seated, _Ready(ticket, row)))
        adapters_used = {one.ticket.target.adapter for one in seated} | {ticket.target.adapter}
        fits = (len(seated) + 1) * longest <= _MOST_TOKENS
        return fits and len(adapters_used) <= _MOST_ADAPTERS

    def _load(self, ticket: Ticket, row: RowState) -> bool:
        try:
            row.slot = self._served.load(ticket.target.adapter)
        except ModelError as error:
            _refuse([ticket], error)
            return False
        return True

    def _dismiss(self) -> None:
        for one in self._ready:
            row = one.row
            if row.finish_reason is not None:
                counts = len(row.ids), len(row.new_ids), row.known
                one.ticket.deliver(Done(row.finish_reason, *counts, self._calls))
        self._ready = [one for one in self._ready if one.row.finish_reason is None]


def _by_weights(tickets: Sequence[Ticket]) -> OrderedDict[_Key, list[Ticket]]:
    """Sort tickets by the weights in memory that answer them: a base, or a base changed whole."""
    found: OrderedDict[_Key, list[Ticket]] = OrderedDict()
    for ticket in tickets:
        adapter = ticket.target.adapter
        whole = None if adapter is None or can_mix(adapter) else adapter
        found.setdefault((ticket.target.base, whole), []).append(ticket)
    return found


def _extent(row: RowState) -> int:
    return len(row.ids) + row.max_new


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
        by_slot.setdefault(one.row.slot, []).append(one)
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

"""Models kept in memory for chats: few bases, some adapters on each, the least used goes first."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ftctl_worker.errors import AdapterError, ModelError
from ftctl_worker.forms.call_styles import style_of
from ftctl_worker.forms.constraint import Constraints
from ftctl_worker.models import adapters
from ftctl_worker.models.loading import LoadedBase, load_base, use_threads
from ftctl_worker.serving.decoding import Decoder, Prefix
from ftctl_worker.serving.kv_cache import attends_to_all
from ftctl_worker.serving.replies import Failed
from ftctl_worker.serving.seats import (
    READ_OVERHEAD,
    READ_OVERHEAD_ON_CUDA,
    Seat,
    read_together,
    seat_for,
)
from ftctl_worker.serving.slots import BASE_ALONE, Slots, can_mix

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from ftctl_worker.models.bases import BaseModel
    from ftctl_worker.serving.ticket import Ticket
    from ftctl_worker.settings import Precision

    More = Callable[[int], Sequence[Ticket]]
    _Key = tuple[BaseModel, Path | None]

__all__ = ["Shelf"]

_MOST_BASES = 2
_MOST_ADAPTERS = 32
_MOST_TOKENS = 32_768
# Keys and values of so many tokens are kept for prompts that begin alike, of all adapters together.
_MOST_REMEMBERED = 8192


def _nothing(_: int) -> Sequence[Ticket]:
    return ()


@dataclass
class _Served:
    """A base model with its adapters, and the beginnings of prompts by adapter.

    ``whole`` is the adapter that is bound to the model by peft, because it is not plain LoRA.
    """

    base: LoadedBase
    slots: Slots
    # By project too: what is known of a prompt shows, and is nothing to others.
    prefixes: OrderedDict[tuple[str, str], Prefix] = field(default_factory=OrderedDict)
    whole: Path | None = None

    def __post_init__(self) -> None:
        self.constraints = Constraints(self.base)
        self.style = style_of(self.base.tokenizer)

    @property
    def can_reuse(self) -> bool:
        """Whether the beginning of a prompt can be kept for the next one."""
        return attends_to_all(self.base.model.config)

    def prefix(self, project: str, slot: str) -> Prefix:
        """Return the beginning of a project's last prompt of an adapter, to be read and renewed."""
        prefix = self.prefixes.setdefault((project, slot), Prefix())
        self.prefixes.move_to_end((project, slot))
        return prefix

    def forget_prefixes(self) -> None:
        """Let go of the beginnings that were used least recently, where there are too many."""
        tokens = sum(len(one.ids) for one in self.prefixes.values())
        while len(self.prefixes) > 1 and tokens > _MOST_REMEMBERED:
            _, gone = self.prefixes.popitem(last=False)
            tokens -= len(gone.ids)

    def load(self, adapter: Path | None) -> str:
        """Load an adapter, and return the name of its slot."""
        if adapter is None or self.whole is not None:
            return BASE_ALONE
        name = _identity(adapter)
        for gone in self.slots.load(adapter, name):
            for key in [one for one in self.prefixes if one[1] == gone]:
                del self.prefixes[key]
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


class _Table:
    """The requests that are answered together over one base, and those that wait for a place."""

    def __init__(self, served: _Served, tickets: Sequence[Ticket]) -> None:
        base = served.base
        self.queue = deque(tickets)
        self._served = served
        self._ready: list[Seat] = []
        self._first: tuple[Ticket, Seat | None] | None = None
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
        coming: list[Seat] = []
        self._served.slots.keep_loaded({one.row.slot for one in self._ready})
        while self.queue:
            ticket = self.queue[0]
            seat = None if ticket.cancelled else self._prepare(ticket)
            if seat is not None and not self._has_room([*self._ready, *coming], seat):
                break
            self.queue.popleft()
            if seat is not None and self._load(seat):
                coming.append(seat)
        self._ready += coming
        overhead = READ_OVERHEAD_ON_CUDA if self._decoder.is_on_cuda else READ_OVERHEAD
        for group in read_together(coming, overhead):
            # Rows of one adapter beside each other are read without being gathered first.
            rows = sorted((one.row for one in group), key=lambda row: row.slot)
            asking = {(one.ticket.target.project, one.row.slot) for one in group}
            reuse = len(asking) == 1 and self._served.can_reuse
            self._decoder.join(rows, self._served.prefix(*asking.pop()) if reuse else None)
        self._served.forget_prefixes()

    def _prepare(self, ticket: Ticket) -> Seat | None:
        """Return the prompt of the first in the queue, made once however long it waits."""
        if self._first is None or self._first[0] is not ticket:
            served = self._served
            self._first = ticket, seat_for(ticket, served.base, served.constraints, served.style)
        return self._first[1]

    def _has_room(self, seated: Sequence[Seat], coming: Seat) -> bool:
        """Tell whether the table holds one more at its longest, and the adapters of all."""
        if not seated:
            return True
        both = (*seated, coming)
        longest = max(one.extent for one in both)
        adapters_used = {one.ticket.target.adapter for one in both}
        fits = (len(seated) + 1) * longest <= _MOST_TOKENS
        return fits and len(adapters_used) <= _MOST_ADAPTERS

    def _load(self, seat: Seat) -> bool:
        try:
            seat.row.slot = self._served.load(seat.ticket.target.adapter)
        except ModelError as error:
            _refuse([seat.ticket], error)
            return False
        return True

    def _dismiss(self) -> None:
        for one in self._ready:
            row = one.row
            if row.finish_reason is None:
                continue
            if row.constraint is not None and row.constraint.trouble is not None:
                why = f"The form of the answer led nowhere: {row.constraint.trouble}."
                one.ticket.deliver(Failed("server_error", why))
            else:
                one.end(row.finish_reason)
        self._ready = [one for one in self._ready if one.row.finish_reason is None]


def _by_weights(tickets: Sequence[Ticket]) -> OrderedDict[_Key, list[Ticket]]:
    """Sort tickets by the weights in memory that answer them: a base, or a base changed whole."""
    found: OrderedDict[_Key, list[Ticket]] = OrderedDict()
    for ticket in tickets:
        adapter = ticket.target.adapter
        whole = None if adapter is None or can_mix(adapter) else adapter
        found.setdefault((ticket.target.base, whole), []).append(ticket)
    return found


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

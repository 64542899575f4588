"""Models kept in memory for chats: few bases, some adapters on each, the least used goes first."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateError
from peft import PeftModel

from ftctl_worker import adapters
from ftctl_worker.decoding import Prefix, RowState, decode
from ftctl_worker.engine import Delta, Done, Failed
from ftctl_worker.loading import LoadedBase, load_base, use_threads
from ftctl_worker.rendering import prompt_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ftctl_worker.bases import BaseModel
    from ftctl_worker.engine import Ticket
    from ftctl_worker.settings import Precision

__all__ = ["Shelf"]

_MOST_BASES = 2
_MOST_ADAPTERS = 8
_MOST_PROMPT_TOKENS = 16_384
_DEFAULT_NEW_TOKENS = 1024


@dataclass
class _Served:
    """A base model with the adapters put on it so far, the most recently used last."""

    base: LoadedBase
    model: Any
    prefixes: OrderedDict[str, Prefix] = field(default_factory=OrderedDict)

    @property
    def can_reuse(self) -> bool:
        """Whether every layer attends to everything before it, so that a cache can be cut."""
        config = self.base.model.config
        kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
        return kinds == {"full_attention"} and not getattr(config, "sliding_window", None)


class Shelf:
    """Loads what a request needs, and answers batches with it."""

    def __init__(self, *, cache: Path, threads: int, precision: Precision) -> None:
        """Start empty."""
        use_threads(threads)
        self._cache = cache
        self._precision = precision
        self._bases: OrderedDict[BaseModel, _Served] = OrderedDict()

    def answer(self, tickets: Sequence[Ticket]) -> None:
        """Answer requests of one model; each gets its own end or failure.

        Raises:
            ModelError: the model cannot be loaded; nobody was answered.
        """
        target = tickets[0].target
        served = self._base(target.base)
        name = _BASE_ALONE if target.adapter is None else self._adapter(served, target.adapter)
        prefix = served.prefixes.setdefault(name, Prefix())
        served.prefixes.move_to_end(name)
        ready = [
            (ticket, row)
            for ticket in tickets
            if not ticket.cancelled and (row := _row(ticket, served.base)) is not None
        ]
        with _mode(served.model, name):
            for group in _groups(ready):
                _answer_group(group, served, prefix if served.can_reuse else None)

    def _base(self, base: BaseModel) -> _Served:
        if base not in self._bases:
            while len(self._bases) >= _MOST_BASES:
                self._bases.popitem(last=False)
            loaded = load_base(base, precision=self._precision, cache=self._cache)
            self._bases[base] = _Served(loaded, loaded.model)
        self._bases.move_to_end(base)
        return self._bases[base]

    def _adapter(self, served: _Served, folder: Path) -> str:
        name = f"{folder.parent.name}-{folder.name}".replace(".", "-")
        if name in served.prefixes:
            return name
        served.model = adapters.load(served.model, folder, name)
        served.prefixes[name] = Prefix()
        loaded = [one for one in served.prefixes if one != _BASE_ALONE]
        if len(loaded) > _MOST_ADAPTERS:
            served.model.delete_adapter(loaded[0])
            del served.prefixes[loaded[0]]
        return name


_BASE_ALONE = ""


def _mode(model: Any, name: str) -> AbstractContextManager[None]:
    if not isinstance(model, PeftModel):
        return nullcontext()
    if name == _BASE_ALONE:
        context: AbstractContextManager[None] = model.disable_adapter()
        return context
    model.set_adapter(name)
    return nullcontext()


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
        emit=lambda piece: ticket.deliver(Delta(piece)),
        is_cancelled=lambda: ticket.cancelled,
    )


def _groups(ready: list[tuple[Ticket, RowState]]) -> list[list[tuple[Ticket, RowState]]]:
    """Split a batch where its padded prompts would take too much memory at once."""
    groups: list[list[tuple[Ticket, RowState]]] = []
    for one in sorted(ready, key=lambda pair: len(pair[1].ids)):
        fits = groups and (len(groups[-1]) + 1) * len(one[1].ids) <= _MOST_PROMPT_TOKENS
        if fits:
            groups[-1].append(one)
        else:
            groups.append([one])
    return groups


def _answer_group(
    group: list[tuple[Ticket, RowState]], served: _Served, prefix: Prefix | None
) -> None:
    known = decode(
        served.model,
        served.base.tokenizer,
        [row for _, row in group],
        eos_ids=served.base.eos_ids,
        pad_id=served.base.pad_id,
        prefix=prefix,
    )
    for ticket, row in group:
        ticket.deliver(Done(row.finish_reason or "stop", len(row.ids), len(row.new_ids), known))

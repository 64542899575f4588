"""A request at the table: its prompt and its place, and who is read together."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from jinja2 import TemplateError

from ftctl_worker.errors import ModelError
from ftctl_worker.forms.tool_calls import CallReader
from ftctl_worker.serving.decoding import shared_length
from ftctl_worker.serving.replies import Delta, Done, Failed
from ftctl_worker.serving.row_state import RowState
from ftctl_worker.training.batches import cheapest_cuts
from ftctl_worker.training.rendering import prompt_text

if TYPE_CHECKING:
    from ftctl_worker.forms.call_styles import CallStyle
    from ftctl_worker.forms.constraint import Constraint, Constraints
    from ftctl_worker.models.loading import LoadedBase
    from ftctl_worker.serving.ticket import Ticket

__all__ = [
    "READ_OVERHEAD",
    "READ_OVERHEAD_ON_CUDA",
    "Seat",
    "read_together",
    "seat_for",
]

# What one more pass costs, in tokens of the same model: measured with tiny on one core.
READ_OVERHEAD = 48
READ_OVERHEAD_ON_CUDA = 4096
_LONG_BEGINNING = 64
_MOST_PROMPT_TOKENS = 16_384
_DEFAULT_NEW_TOKENS = 1024


@dataclass(frozen=True)
class Seat:
    """A request that can be answered, its prompt, and what finds calls in the answer."""

    ticket: Ticket
    row: RowState
    calls: CallReader | None = None

    @property
    def extent(self) -> int:
        """How many tokens it has at its longest."""
        return len(self.row.ids) + self.row.max_new

    def end(self, reason: Literal["stop", "length"]) -> None:
        """Deliver what is left of the answer, and its end."""
        row = self.row
        rest, calls = ("", []) if self.calls is None else self.calls.end()
        if rest:
            self.ticket.deliver(Delta(rest))
        counts = len(row.ids), len(row.new_ids), row.known
        self.ticket.deliver(Done(reason, *counts, tuple(calls)))


def seat_for(
    ticket: Ticket, base: LoadedBase, constraints: Constraints, style: CallStyle | None
) -> Seat | None:
    """Turn a request into a prompt; None where it was refused."""
    chat = ticket.chat
    if max(chat.logit_bias, default=0) >= len(base.tokenizer):
        why = f"'logit_bias' names a token that this model does not have; it has {len(base.tokenizer):,}."
        ticket.deliver(Failed("invalid_value", why, "logit_bias"))
        return None
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
    try:
        constraint = _constraint(ticket, style, constraints)
    except ModelError as error:
        must_call = chat.grammar is not None and chat.grammar.must_call
        param = "tool_choice" if must_call else "response_format"
        ticket.deliver(Failed("unsupported_parameter", str(error), param))
        return None
    calls = None
    if style is not None and chat.callable:
        calls = CallReader(style, chat.callable, several=chat.several_calls)
    row = RowState(
        ids=ids,
        max_new=min(room, chat.max_tokens or _DEFAULT_NEW_TOKENS),
        temperature=chat.temperature,
        top_p=chat.top_p,
        seed=secrets.randbits(63) if chat.seed is None else chat.seed + ticket.index,
        stop=chat.stop,
        emit=lambda piece, tokens: ticket.deliver(
            Delta(piece if calls is None else calls.feed(piece), tokens)
        ),
        top_logprobs=chat.top_logprobs,
        is_cancelled=lambda: ticket.cancelled,
        constraint=constraint,
        bias=chat.logit_bias,
        frequency_penalty=chat.frequency_penalty,
        presence_penalty=chat.presence_penalty,
        hidden=None if calls is None or style is None else style.hidden(base.tokenizer),
    )
    return Seat(ticket, row, calls)


def _constraint(
    ticket: Ticket, style: CallStyle | None, constraints: Constraints
) -> Constraint | None:
    grammar = ticket.chat.grammar
    if grammar is None:
        return None
    if grammar.must_call and style is None:
        raise ModelError(
            "A call cannot be asked of this model: its chat template does not say how to write one."
        )
    rules = grammar.text(style)
    return None if rules is None else constraints.start(rules)


def read_together(ready: list[Seat], overhead: int = READ_OVERHEAD) -> list[list[Seat]]:
    """Split a batch into groups of like length, where padding would cost more than another pass.

    Requests of one adapter that share a long beginning stay among themselves: it is read once.
    ``overhead`` is what a pass costs beyond its tokens, counted in tokens.
    """
    groups: list[list[Seat]] = []
    for some in _sharing(ready):
        falling = sorted(some, key=lambda one: len(one.row.ids), reverse=True)
        lengths = [len(one.row.ids) for one in falling]
        cuts = cheapest_cuts(lengths, _MOST_PROMPT_TOKENS, overhead)
        groups += [falling[start:end] for start, end in cuts]
    return groups


def _sharing(ready: list[Seat]) -> list[list[Seat]]:
    by_slot: dict[str, list[Seat]] = {}
    for one in ready:
        by_slot.setdefault(one.row.slot, []).append(one)
    if len(by_slot) == 1:
        return [ready]
    mixed: list[Seat] = []
    alone: list[list[Seat]] = []
    for some in by_slot.values():
        shared = min(shared_length(some[0].row.ids, one.row.ids) for one in some)
        if len(some) > 1 and shared >= _LONG_BEGINNING:
            alone.append(some)
        else:
            mixed += some
    return [*alone, mixed] if mixed else alone

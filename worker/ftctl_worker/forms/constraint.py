"""Grammars at work: which tokens may come next in an answer that has to have a form."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch

from ftctl_worker.errors import ModelError
from ftctl_worker.forms.grammar import BODY

if TYPE_CHECKING:
    from ftctl_worker.models.loading import LoadedBase

__all__ = ["Constraint", "Constraints"]


class Constraint:
    """The grammar of one answer, as far as it has come."""

    def __init__(self, matcher: Any) -> None:
        """Follow with a matcher of llguidance."""
        self._matcher = matcher
        self.trouble: str | None = None

    @property
    def is_complete(self) -> bool:
        """Whether nothing more may follow."""
        return bool(self._matcher.is_stopped())

    def forbidden(self, width: int) -> torch.Tensor:
        """Return which tokens of a vocabulary of ``width`` may not come next, of shape (width,).

        Where none may, none is forbidden, and ``trouble`` says why.
        """
        allowed = torch.frombuffer(bytearray(self._matcher.compute_logit_bias()), dtype=torch.uint8)
        forbidden = torch.ones(width, dtype=torch.bool)
        forbidden[: len(allowed)] = allowed[:width] == 0
        if self._matcher.is_error() or bool(forbidden.all()):
            self.trouble = _reason(self._matcher)
            return torch.zeros(width, dtype=torch.bool)
        return forbidden

    def accept(self, token: int) -> None:
        """Go on with the token that was chosen."""
        self._matcher.consume_token(token)


class Constraints:
    """Constraints for the tokenizer of one base model, which is read once it is needed."""

    def __init__(self, base: LoadedBase) -> None:
        """Prepare for a base model."""
        self._base = base
        self._known: tuple[Any, str] | None = None

    def start(self, grammar: str) -> Constraint:
        """Return a constraint at the beginning of an answer.

        Raises:
            ModelError: the grammar is not for this tokenizer, or no grammar is.
        """
        from llguidance import LLMatcher, LLParserLimits

        tokenizer, before = self._tokenizer()
        limits = LLParserLimits(verbose_errors=False)
        start = f"start: {before}{BODY}\n"
        matcher = LLMatcher(tokenizer, start + grammar, log_level=0, limits=limits)
        may_begin = matcher.compute_logit_bias().strip(b"\0")
        if matcher.is_error() or not may_begin:
            why = _reason(matcher)
            raise ModelError(f"This model cannot be held to the form of the answer: {why}.")
        return Constraint(matcher)

    def _tokenizer(self) -> tuple[Any, str]:
        """Return llguidance's tokenizer, and the rule for what it puts before an answer."""
        if self._known is None:
            from llguidance import LLTokenizer

            own = self._base.tokenizer
            try:
                tokenizer: Any = LLTokenizer(
                    _spaces_as_they_are(own.backend_tokenizer.to_str()),
                    eos_token=sorted(self._base.eos_ids),
                )
            except (AttributeError, ValueError) as error:
                raise ModelError(
                    f"The tokenizer of this model cannot be held to a form: {str(error)[:300]}"
                ) from error
            # Where decoding drops a space at the beginning, training has put one there.
            drops = own.decode(tokenizer.tokenize_str(" {")) == "{"
            self._known = tokenizer, '" "? ' if drops else ""
        return self._known


def _reason(matcher: Any) -> str:
    said = " ".join(matcher.get_error().replace("<non-verbose/>", "").split())[:300]
    # That is how it says that no token may follow.
    return "nothing can satisfy it" if said in {"", "NoExtension", "NoExtensionBias"} else said


def _spaces_as_they_are(text: str) -> str:
    """Return a byte-level tokenizer as JSON, so that it neither adds nor drops a space.

    Otherwise a grammar's own text would be cut into tokens that begin with a space.
    """
    tokenizer = json.loads(text)
    for part in ("pre_tokenizer", "decoder"):
        if "ByteLevel" in json.dumps(tokenizer.get(part)):
            tokenizer[part] = _exact(tokenizer[part])
    return json.dumps(tokenizer)


def _exact(part: Any) -> Any:
    if isinstance(part, list):
        return [_exact(one) for one in part if one.get("type") != "Strip"]
    if not isinstance(part, dict):
        return part
    return {
        name: False if name == "add_prefix_space" else _exact(value) for name, value in part.items()
    }

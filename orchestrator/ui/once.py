"""Forms that work once: the second click, and the reload, find what the first one did."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orchestrator.domain.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST = 256


@dataclass
class _Form:
    alone: threading.Lock = field(default_factory=threading.Lock)
    done: str | None = None


class Once:
    """Tokens of forms and what became of them; lives as long as the process."""

    def __init__(self) -> None:
        """Begin without any."""
        self._lock = threading.Lock()
        self._forms: OrderedDict[str, _Form] = OrderedDict()

    def issue(self) -> str:
        """A token for a form that is about to be shown."""
        token = secrets.token_urlsafe(16)
        with self._lock:
            self._forms[token] = _Form()
            while len(self._forms) > _MOST:
                self._forms.popitem(last=False)
        return token

    def use(self, token: str, work: Callable[[], str]) -> str:
        """Do the work, unless it was done for this token; a failure leaves the token good.

        Raises:
            UsageError: the form is not known here any more.
        """
        with self._lock:
            form = self._forms.get(token)
        if form is None:
            raise UsageError("This form is too old.", hint="fill it in again")
        with form.alone:
            if form.done is None:
                form.done = work()
            return form.done

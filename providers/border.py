"""Where foreign errors become ours. What crosses it holds no key, whoever echoed it.

Two ways across. `answer` is for what may be repeated: an outcome nobody knows is simply no
answer. `answer_to_the_post` is for the one request that costs money: there, everything but a
clear no and a connection that never was is an unknown outcome.
"""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from orchestrator.domain.clock import SystemClock
from orchestrator.domain.errors import (
    CredentialsRefused,
    Forbidden,
    FtctlError,
    OutcomeUnknown,
    ProviderRejected,
    ProviderUnreachable,
    RateLimited,
    RemoteNotFound,
)
from providers.refusal import explain_nothing, is_html, one_line, read, winding_down

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime

    import httpx2
    import openai
    from openai._legacy_response import LegacyAPIResponse
    from openai._response import StreamedBinaryAPIResponse

    from orchestrator.domain.provider import Sink
    from providers.refusal import Explain, Refusal

    Call = Callable[[], LegacyAPIResponse[Any]]
    Stream = Callable[[], AbstractContextManager[StreamedBinaryAPIResponse]]

# With the provider's own error in the body, these say that there is no job.
CLEAR_NO = frozenset({400, 401, 403, 404, 413, 422})
# Shorter "keys" occur in ordinary text; replacing them would break answers and hide nothing.
SHORTEST_SECRET = 8
REMOVED = "[key removed]"

_CHUNK = 1 << 18

# Halves of characters, and NUL, which PostgreSQL keeps in no text.
_UNKEEPABLE = re.compile("[\x00\ud800-\udfff]")
_ESCAPED = re.compile(r"\\u(?:d|0000)", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Border:
    """Calls, and translates what comes back.

    Attributes:
        name: how the profile is called, for messages.
        key: what must not appear in anything that leaves here.
        key_env: the variable that holds it, for hints.
        more_secrets: what else must not, as tokens that are renewed.
        explain: better words for what one provider is known to say; None for no idea.
    """

    name: str
    key: str = field(repr=False)
    key_env: str | None = None
    explain: Explain = explain_nothing
    more_secrets: Callable[[], Sequence[str]] = tuple
    now: Callable[[], datetime] = field(default_factory=lambda: SystemClock().now)

    def answer(self, call: Call) -> dict[str, Any]:
        """The JSON object that a call which may be repeated is answered with.

        Raises:
            ProviderRejected, CredentialsRefused: no.
            TryLater: no answer, an answer that is none, or too many requests.
        """
        with self._translated():
            response = call().http_response
        return self.json(response)

    def content(self, call: Callable[[], Any]) -> bytes:
        """The bytes that a call which may be repeated is answered with.

        Raises:
            ProviderRejected, CredentialsRefused: no.
            TryLater: no answer, or a page instead of a file.
        """
        with self._translated():
            response: httpx2.Response = call().http_response
            body = response.read()
        if "html" in response.headers.get("content-type", ""):
            raise self._not_json("HTML")
        return body

    def answer_to_the_post(self, call: Call) -> dict[str, Any]:
        """The JSON object that the one POST which must not be repeated is answered with.

        Raises:
            ProviderRejected, CredentialsRefused: a clear no.
            ProviderUnreachable: surely not sent.
            OutcomeUnknown: anything else.
        """
        import openai

        try:
            response = call().http_response
        except FtctlError:
            # Raised on this side, before a byte left: nobody gave a token.
            raise
        except openai.APIStatusError as error:
            refusal = self.refusal(error.response)
            if refusal.status in CLEAR_NO and refusal.is_envelope:
                raise self._said(refusal) from self._clean_error(error)
            raise self.in_doubt(f"it answered {refusal.status}") from self._clean_error(error)
        except openai.APIConnectionError as error:
            if was_never_sent(error.__cause__):
                raise no_answer(self.name, error.__cause__) from error
            raise self.in_doubt(broken(error.__cause__)) from error
        except Exception as error:
            # After the first byte nothing may pass for a clear outcome.
            raise self.in_doubt("its answer cannot be read") from error
        try:
            return self.json(response)
        except Exception as error:
            raise self.in_doubt("its answer cannot be read") from error

    def stream(self, call: Call, use: Callable[[httpx2.Response], str]) -> str:
        """What `use` makes of a body that is read as it comes; the call may be repeated.

        Raises:
            ProviderRejected, CredentialsRefused, TryLater: as for `answer`.
        """
        import httpx2

        try:
            with self._translated(), contextlib.closing(call().http_response) as response:
                return use(response)
        except httpx2.HTTPError as error:
            said = one_line(str(error)) or type(error).__name__
            raise ProviderUnreachable(f"{self.name} broke off: {said}.") from error

    def pour(self, call: Stream, sink: Sink) -> int:
        """Write the bytes that a call is answered with; returns how many.

        Raises:
            ProviderRejected, CredentialsRefused: no.
            TryLater: no answer, a page instead of a file, or a line that broke on the way.
        """
        import httpx2

        try:
            with self._translated(), call() as response:
                if "text/html" in response.headers.get("content-type", ""):
                    raise self._not_a("HTML", "a file")
                return sum(sink.write(chunk) for chunk in response.iter_bytes(_CHUNK))
        except httpx2.TransportError as error:
            raise ProviderUnreachable(
                f"{self.name} broke off in the middle of a file: {type(error).__name__}."
            ) from error

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """What the SDK raises for a call that may be repeated, as ours."""
        import openai

        try:
            yield
        except openai.APIStatusError as error:
            raise self._said(self.refusal(error.response)) from self._clean_error(error)
        except openai.APIConnectionError as error:
            raise no_answer(self.name, error.__cause__) from error

    def in_doubt(self, why: str) -> OutcomeUnknown:
        """There may be a job."""
        return OutcomeUnknown(
            f"{self.name} was asked for a job and {why}: there may be one, or not.",
            hint="ftctl sync",
        )

    def json(self, response: httpx2.Response) -> dict[str, Any]:
        """The body as a JSON object, without the key and without NaN.

        Raises:
            ProviderUnreachable: it is not one.
        """
        text = self.clean(response.text)
        kind = "HTML" if is_html(response, text) else "something"
        try:
            body = json.loads(text, parse_constant=lambda _: None)
        except (ValueError, RecursionError) as error:
            raise self._not_json(kind) from error
        if not isinstance(body, dict):
            raise self._not_json(kind)
        return _printable(body) if _ESCAPED.search(text) else body

    def refused(self, response: httpx2.Response) -> FtctlError:
        """What an answer of 300 or more means."""
        return self._said(self.refusal(response))

    def refusal(self, response: httpx2.Response) -> Refusal:
        """An answer of 300 or more, taken apart, without the key."""
        return read(response, self.clean(response.text), self.now())

    def clean(self, text: str) -> str:
        """The text without the key."""
        for secret in (self.key, *self.more_secrets()):
            if len(secret) >= SHORTEST_SECRET:
                text = text.replace(secret, REMOVED).replace(json.dumps(secret)[1:-1], REMOVED)
        return text

    def _said(self, refusal: Refusal) -> FtctlError:
        special = winding_down(refusal, self.name) or self.explain(refusal)
        if special is not None:
            return special
        if refusal.status == 429 and "insufficient_quota" not in {refusal.code, refusal.type}:
            return RateLimited(
                f"{self.name} asks for fewer requests.", retry_after=refusal.retry_after
            )
        if refusal.status in {401, 403}:
            return self._key_refused(refusal)
        if refusal.status < 400 or refusal.status >= 500 or refusal.status in {407, 408}:
            return ProviderUnreachable(self._sentence("is in trouble", refusal))
        if refusal.status == 404 and not refusal.is_envelope:
            return self._wrong_door(refusal)
        refused = RemoteNotFound if refusal.status == 404 else ProviderRejected
        return refused(
            self._sentence("said no", refusal),
            status=refusal.status,
            code=refusal.code,
            param=refusal.param,
        )

    def _key_refused(self, refusal: Refusal) -> FtctlError:
        where = f" in {self.key_env}" if self.key_env else ""
        refused = Forbidden if refusal.status == 403 else CredentialsRefused
        return refused(
            self._sentence(f"refused the key{where}", refusal),
            hint=f"export {self.key_env}=..." if self.key_env else None,
        )

    def _wrong_door(self, refusal: Refusal) -> FtctlError:
        """A 404 that the API did not write says nothing about what was asked for."""
        what = "HTML" if refusal.is_html else "something"
        return ProviderUnreachable(
            f"{self.name} answered 404 with {what} that is not the API's.",
            hint=f"check base_url under [providers.{self.name}]",
        )

    def _sentence(self, verb: str, refusal: Refusal) -> str:
        said = refusal.message or f"HTTP {refusal.status}"
        return f"{self.name} {verb}: {said}"

    def _not_json(self, kind: str) -> ProviderUnreachable:
        return self._not_a(kind, "JSON")

    def _not_a(self, kind: str, wanted: str) -> ProviderUnreachable:
        return ProviderUnreachable(
            f"{self.name} answered with {kind}, not {wanted}.",
            hint=f"check base_url under [providers.{self.name}], and what lies between",
        )

    def _clean_error(self, error: openai.APIStatusError) -> openai.APIStatusError:
        """The same error; a traceback prints its text."""
        error.message = self.clean(error.message)
        error.args = tuple(
            self.clean(part) if isinstance(part, str) else part for part in error.args
        )
        error.body = None
        return error


def was_never_sent(error: BaseException | None) -> bool:
    """Whether an error of the transport says that not one byte can have arrived."""
    import httpx2

    never = (
        httpx2.ConnectError,
        httpx2.ConnectTimeout,
        httpx2.PoolTimeout,
        httpx2.ProxyError,
        httpx2.UnsupportedProtocol,
    )
    return isinstance(error, never)


def reason(cause: BaseException | None) -> str:
    """Why a connection broke, in few words."""
    if cause is None:
        return "the connection broke"
    if "Timeout" in type(cause).__name__:
        return "no answer in time"
    return one_line(str(cause)).rstrip(".") or type(cause).__name__


def no_answer(name: str, cause: BaseException | None) -> ProviderUnreachable:
    """Nobody was there, or whoever was there gave no answer that can be read."""
    if was_never_sent(cause):
        return ProviderUnreachable(f"{name} cannot be reached: {reason(cause)}.")
    return ProviderUnreachable(f"{name} was asked, and {broken(cause)}.")


def broken(cause: BaseException | None) -> str:
    """What became of an answer after the request had left, as the end of a sentence."""
    import httpx2

    if isinstance(cause, httpx2.TimeoutException):
        return "no answer came in time"
    unreadable = isinstance(cause, httpx2.RemoteProtocolError | httpx2.DecodingError)
    # The one class stands for a line that broke, too, and only its words tell.
    if unreadable and not str(cause).startswith(("Server disconnected", "peer closed")):
        return f"its answer cannot be read: {reason(cause)}"
    return "the connection broke before an answer came whole"


def _printable(value: Any) -> Any:
    """Without the characters that some database does not take."""
    if isinstance(value, str):
        return _UNKEEPABLE.sub("\N{REPLACEMENT CHARACTER}", value)
    if isinstance(value, list):
        return [_printable(part) for part in value]
    if isinstance(value, dict):
        return {_printable(key): _printable(part) for key, part in value.items()}
    return value

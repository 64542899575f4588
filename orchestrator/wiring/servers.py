"""What stays and answers until it is told to stop."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING, Any

from orchestrator.domain.errors import MissingCredentials

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from orchestrator.config import Settings
    from orchestrator.domain.web import WebRequest, WebResponse
    from orchestrator.wiring import App


def serve_simulator(host: str, port: int, dialect: str, *, on_ready: Callable[[str], None]) -> None:
    """Serve a provider that costs nothing, until interrupted; `on_ready` is told its base URL."""
    from providers.simulator import serve_simulator as serve

    serve(host, port, dialect, on_ready=on_ready)


def serve_webhooks(
    application: App,
    profile: str,
    where: tuple[str, int],
    *,
    on_ready: Callable[[str], None],
    say: Callable[[str], None],
    stop: threading.Event | None = None,
) -> None:
    """Take in signed webhooks of a profile's account until told to stop.

    Args:
        application: the wired application.
        profile: whose secret they are signed with, and whose jobs they are about.
        where: address and port; 0 takes a free one.
        on_ready: is told the URL once the port is bound.
        say: is told a line for each webhook, from several threads.
        stop: set it to end; SIGTERM and SIGINT do, too.

    Raises:
        MissingCredentials: there is no secret.
        OSError: the port cannot be had.
    """
    from orchestrator.hooks.receiver import Door, Receiver
    from orchestrator.usecases.webhooks import LookOut, hear

    keys = _webhook_keys(application.settings, profile)
    ledger, provider = application.ledger(say), application.provider(profile)
    inbox, stop = application.inbox, stop or threading.Event()
    with LookOut(provider, ledger, idle=lambda: application.tell_others(say)) as look_out:

        def take(webhook_id: str, said: Mapping[str, Any]) -> None:
            heard = hear(webhook_id, said, inbox, provider.account, ledger)
            say(heard.line)
            if heard.job_id is not None:
                look_out.add(heard.job_id)

        door = Door(keys=keys, clock=application.clock, take=take, say=say)
        with Receiver(where, door) as receiver, _until_signalled(stop):
            receiver.start()
            on_ready(receiver.url)
            stop.wait()


def serve_pages(
    where: tuple[str, int],
    answer: Callable[[WebRequest], WebResponse],
    *,
    on_ready: Callable[[str], None],
    stop: threading.Event | None = None,
) -> None:
    """Answer browsers until told to stop.

    Args:
        where: address and port; 0 takes a free one.
        answer: makes every answer, in several threads at once.
        on_ready: is told the URL once the port is bound, before anything is answered.
        stop: set it to end; SIGTERM and SIGINT do, too.

    Raises:
        OSError: the port cannot be had.
    """
    from orchestrator.hooks.pages import PageServer

    stop = stop or threading.Event()
    with PageServer(where, answer) as server, _until_signalled(stop):
        on_ready(server.url)
        server.start()
        stop.wait()


def _webhook_keys(settings: Settings, profile: str) -> tuple[bytes, ...]:
    from orchestrator.domain.adapters.signature import secrets_of

    settings.profile(profile)
    variable, found = settings.webhook_secret(profile)
    where = variable or "the credentials file"
    keys = secrets_of(found or "", where)
    if not keys:
        raise MissingCredentials(
            f"There is no webhook secret for '{profile}'.",
            hint=f"export {variable}=whsec_..."
            if variable
            else f'webhook_secret_env = "..." under [providers.{profile}]',
        )
    return keys


@contextlib.contextmanager
def _until_signalled(stop: threading.Event) -> Iterator[None]:
    """A wish to end sets the event; nothing is cut off in its middle."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    wishes = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(each, lambda *_: stop.set()) for each in wishes]
    try:
        yield
    finally:
        for each, handler in zip(wishes, before, strict=True):
            signal.signal(each, handler)

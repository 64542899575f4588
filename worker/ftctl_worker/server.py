"""One server from start to end: home, database, supervisor, engine and HTTP."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import sqlite3
import threading
from typing import TYPE_CHECKING

import uvicorn

from ftctl_worker.api.app import build_app
from ftctl_worker.api.guard import OpenRequests
from ftctl_worker.api.services import Services
from ftctl_worker.connections import patient
from ftctl_worker.database import Database
from ftctl_worker.errors import LocalStateError
from ftctl_worker.executors.opening import open_executor
from ftctl_worker.home import Home, ServerLock
from ftctl_worker.lifetime import ReadyFile, UsageLock
from ftctl_worker.models.bases import Catalog
from ftctl_worker.models.repository import Repository
from ftctl_worker.models.tuned_models import TunedModels
from ftctl_worker.queue.disk import Disk
from ftctl_worker.queue.filestore import FileStore
from ftctl_worker.queue.history import History
from ftctl_worker.queue.jobs import JobStore
from ftctl_worker.queue.leftovers import Leftovers
from ftctl_worker.queue.supervisor import Supervisor
from ftctl_worker.queue.uploads import Uploads
from ftctl_worker.serving.engine import Engine
from ftctl_worker.serving.lookup import Lookup
from ftctl_worker.settings import prepare_for_torch
from ftctl_worker.tokens import Tokens

if TYPE_CHECKING:
    from ftctl_worker.settings import Settings

__all__ = ["serve"]

_LOG = logging.getLogger("ftctl_worker")
_LOOK_SECONDS = 0.5
_PURGE_EVERY = 120
_GRACE_SECONDS = 5


def serve(settings: Settings) -> None:
    """Serve until a signal arrives, or until nobody uses the server where that was asked for.

    Raises:
        LocalStateError: the home is in use, cannot be written, or the port cannot be bound.
    """
    os.umask(0o077)
    prepare_for_torch()
    home = Home(settings.home.resolve())
    home.prepare()
    lock = ServerLock(home)
    database = Database(home.database, shared=settings.ray_address is not None, check=True)
    try:
        _empty(home)
        FileStore(database, home).drop_arriving()
        _Server(settings, home, database).run()
    finally:
        database.close()
        lock.release()


class _Server:
    """The parts of a server, wired."""

    def __init__(self, settings: Settings, home: Home, database: Database) -> None:
        self._settings = settings
        self._files = FileStore(database, home, most_bytes=settings.project_bytes)
        self._jobs = JobStore(
            database, most_open=settings.max_queue, most_of_project=settings.project_jobs
        )
        self._uploads = Uploads(database, home, self._files)
        self._leftovers = Leftovers(self._jobs, home)
        self._tokens = Tokens(home.tokens, settings.token_hashes)
        disk = self._disk = Disk(home.root, settings.disk_floor_bytes)
        self._open_requests = OpenRequests()
        catalog = Catalog(
            models_dirs=settings.models_dirs,
            allow_paths=settings.allow_paths,
            allow_models=settings.allow_models,
            allow_any=settings.allow_any_model,
        )
        self._engine = Engine(
            cache=home.cache,
            threads=settings.threads,
            precision=settings.precision,
            max_batch=settings.max_batch,
            max_waiting=settings.max_waiting,
        )
        self._supervisor = Supervisor(
            jobs=self._jobs,
            home=home,
            catalog=catalog,
            settings=settings,
            disk=disk,
            executor=open_executor(settings),
        )
        services = Services(
            home=home,
            files=self._files,
            uploads=self._uploads,
            disk=disk,
            tokens=self._tokens,
            jobs=self._jobs,
            history=History(database),
            lookup=Lookup(
                TunedModels(database, home),
                catalog,
                None if settings.adapters is None else Repository(settings.adapters.resolve()),
            ),
            engine=self._engine,
            jobs_changed=self._supervisor.notify,
        )
        self._http = uvicorn.Server(
            uvicorn.Config(
                build_app(services, settings, self._open_requests),
                http=patient(settings.idle_seconds),
                lifespan="off",
                # What strangers send is no event of ours: it would fill the log.
                log_level="error",
                ws="none",
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=_GRACE_SECONDS,
            )
        )

    def run(self) -> None:
        """Listen, say so, wait for the end, and clean up."""
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        listener = _bind(self._settings.host, self._settings.port)
        ready = None if self._settings.ready_file is None else ReadyFile(self._settings.ready_file)
        http = threading.Thread(target=self._http.run, args=([listener],), name="http")
        self._supervisor.start()
        http.start()
        try:
            self._announce(listener, ready)
            self._wait(stop, http, ready)
        finally:
            if ready is not None:
                ready.remove()
            self._http.should_exit = True
            self._engine.stop()
            http.join()
            self._supervisor.stop()

    def _announce(self, listener: socket.socket, ready: ReadyFile | None) -> None:
        host, port = listener.getsockname()[:2]
        _LOG.info("listening on http://%s:%s/v1", host, port)
        if ready is not None:
            ready.write(host, port)

    def _wait(self, stop: threading.Event, http: threading.Thread, ready: ReadyFile | None) -> None:
        usage = None if self._settings.exit_lock is None else UsageLock(self._settings.exit_lock)
        rounds = 0
        while http.is_alive() and not stop.wait(_LOOK_SECONDS):
            if rounds % _PURGE_EVERY == 0:
                self._purge()
            rounds += 1
            if usage is None or self._is_busy() or not usage.try_alone():
                continue
            if self._is_busy():
                usage.release()
                continue
            if ready is not None:
                ready.remove()
            return

    def _purge(self) -> None:
        try:
            self._disk.keep_reserve()
            self._files.purge_expired()
            self._uploads.purge_expired()
            self._leftovers.sweep()
        except (OSError, sqlite3.Error):
            _LOG.exception("what has expired could not be removed; it is tried again")

    def _is_busy(self) -> bool:
        return self._open_requests.any or self._jobs.any_open()


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sends small answers at once (TCP_NODELAY) only where the protocol is named.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise LocalStateError(f"Cannot listen on {host}:{port}: {error.strerror}.") from error
    listener.listen(128)
    return listener


def _empty(home: Home) -> None:
    """Drop uploads that a dead server left."""
    shutil.rmtree(home.uploads)
    home.uploads.mkdir(mode=0o700)

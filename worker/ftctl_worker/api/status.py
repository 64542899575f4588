"""The routes that say how the worker is: /metrics for Prometheus, /v1/worker/info for people."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from ftctl_worker import __version__, engine_table, hardware
from ftctl_worker.api.requests import project_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request

    from ftctl_worker.api.services import Services
    from ftctl_worker.settings import Settings

__all__ = ["Counters", "StatusRoutes"]

_METHODS = {"supervised": True, "dpo": True, "reinforcement": True}


class Counters:
    """Counts answers by method and status."""

    def __init__(self) -> None:
        """Start at none, now."""
        self.started_at = time.time()
        self._answers: Counter[tuple[str, int]] = Counter()
        self._lock = threading.Lock()

    def count(self, method: str, status: int) -> None:
        """Count one answer."""
        with self._lock:
            self._answers[method, status] += 1

    def answers(self) -> dict[tuple[str, int], int]:
        """Return the counts so far."""
        with self._lock:
            return dict(self._answers)


class StatusRoutes:
    """Says what there is and what is going on; both need a token."""

    def __init__(self, services: Services, settings: Settings, counters: Counters) -> None:
        """Look at ``services``."""
        self._services = services
        self._settings = settings
        self._counters = counters

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("/metrics", self.metrics, methods=["GET"]),
            Route("/v1/worker/info", self.info, methods=["GET"]),
            Route("/v1/worker/engines", self.engines, methods=["GET"]),
        ]

    def engines(self, _request: Request) -> Response:
        """Say which engine can train what on this server, and why it cannot do the rest."""
        device = hardware.describe(0)["kind"]
        data = engine_table.table(device, self._settings.engine)
        return JSONResponse({"object": "list", "device": device, "data": data})

    def info(self, request: Request) -> Response:
        """Describe the worker."""
        disk, project = self._services.disk, project_of(request)
        return JSONResponse(
            {
                "object": "worker.info",
                "version": __version__,
                "project": project,
                "uptime_seconds": int(time.time() - self._counters.started_at),
                "device": hardware.describe(self._settings.threads),
                "methods": _METHODS,
                "models": {
                    "base": [base.name for base in self._services.lookup.catalog.available()],
                    "tuned": len(self._services.lookup.tuned.all(project)),
                },
                "queue": {
                    "jobs": self._services.jobs.counts(project),
                    "most_open": self._settings.max_queue,
                    "trained_at_once": self._settings.concurrency,
                },
                "disk": {
                    "free_bytes": disk.free,
                    "floor_bytes": disk.floor,
                    "has_room": disk.has_room(),
                },
            }
        )

    def metrics(self, _request: Request) -> Response:
        """Return the metrics in Prometheus' text format."""
        text = "\n".join(self._lines()) + "\n"
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4")

    def _lines(self) -> Iterator[str]:
        yield from _head("ftctl_worker_info", "gauge", "The version of the worker.")
        yield f'ftctl_worker_info{{version="{__version__}"}} 1'
        yield from _head("ftctl_worker_jobs", "gauge", "Jobs by status.")
        for status, count in self._services.jobs.counts().items():
            yield f'ftctl_worker_jobs{{status="{status}"}} {count}'
        yield from _head("ftctl_worker_http_requests_total", "counter", "Answers by status.")
        for (method, code), count in sorted(self._counters.answers().items()):
            labels = f'method="{method}",status="{code}"'
            yield f"ftctl_worker_http_requests_total{{{labels}}} {count}"
        yield from _head("ftctl_worker_chats_waiting", "gauge", "Chats that wait for an answer.")
        yield f"ftctl_worker_chats_waiting {self._services.engine.waiting}"
        yield from _head("ftctl_worker_chat_batches_total", "counter", "Batches answered.")
        yield f"ftctl_worker_chat_batches_total {self._services.engine.batches}"
        yield from _head("ftctl_worker_chat_tokens_total", "counter", "Tokens read and written.")
        for kind, count in self._services.engine.tokens.items():
            yield f'ftctl_worker_chat_tokens_total{{kind="{kind}"}} {count}'
        yield from _head("ftctl_worker_disk_free_bytes", "gauge", "Free space in the home.")
        yield f"ftctl_worker_disk_free_bytes {self._services.disk.free}"
        yield from _head("process_start_time_seconds", "gauge", "When the worker started.")
        yield f"process_start_time_seconds {self._counters.started_at:.3f}"
        yield from _head("process_cpu_seconds_total", "counter", "CPU time of the server.")
        used = os.times()
        yield f"process_cpu_seconds_total {used.user + used.system:.2f}"
        if (resident := hardware.resident_bytes()) is not None:
            yield from _head("process_resident_memory_bytes", "gauge", "Memory of the server.")
            yield f"process_resident_memory_bytes {resident}"


def _head(name: str, kind: str, text: str) -> tuple[str, str]:
    return f"# HELP {name} {text}", f"# TYPE {name} {kind}"

"""The simulated host: routes, faults and what it remembers. Knows no sockets."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import threading
from collections import Counter, deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from orchestrator.domain.clock import SystemClock
from orchestrator.domain.errors import FtctlError
from providers.simulator import arm, chat, faults, files, jobs, sharing, uploads, webhooks
from providers.simulator.dialects import dialect as dialect_named
from providers.simulator.exchange import (
    Call,
    Exchange,
    RefusedError,
    Reply,
    json_reply,
    page,
)
from providers.simulator.faults import Fault
from providers.simulator.state import InMemory
from providers.simulator.steering import catch_up, move_on, steer

if TYPE_CHECKING:
    from orchestrator.domain.clock import Clock
    from providers.simulator.state import Memory, State

KEPT_EXCHANGES = 5000

_ROUTES = [
    ("POST", r"/files", "upload_file"),
    ("GET", r"/files", "list_files"),
    ("GET", r"/files/([^/]+)", "get_file"),
    ("GET", r"/files/([^/]+)/content", "file_content"),
    ("POST", r"/fine_tuning/jobs", "create_job"),
    ("GET", r"/fine_tuning/jobs", "list_jobs"),
    ("GET", r"/fine_tuning/jobs/([^/]+)", "get_job"),
    ("POST", r"/fine_tuning/jobs/([^/]+)/cancel", "cancel_job"),
    ("POST", r"/fine_tuning/jobs/([^/]+)/pause", "pause_job"),
    ("POST", r"/fine_tuning/jobs/([^/]+)/resume", "resume_job"),
    ("GET", r"/fine_tuning/jobs/([^/]+)/events", "events"),
    ("GET", r"/fine_tuning/jobs/([^/]+)/checkpoints", "checkpoints"),
    ("GET", r"/models", "list_models"),
    ("GET", r"/models/(.+)", "get_model"),
    ("DELETE", r"/models/(.+)", "delete_model"),
    ("DELETE", r"/files/([^/]+)", "delete_file"),
    ("DELETE", r"/fine_tuning/jobs/([^/]+)", "delete_job"),
    ("POST", r"/uploads", "begin_upload"),
    ("POST", r"/uploads/([^/]+)/parts", "add_part"),
    ("POST", r"/uploads/([^/]+)/complete", "end_upload"),
    ("POST", r"/uploads/([^/]+)/cancel", "cancel_upload"),
    ("GET", r"/fine_tuning/checkpoints/(.+)/permissions", "list_permissions"),
    ("POST", r"/fine_tuning/checkpoints/(.+)/permissions", "grant_permission"),
    ("DELETE", r"/fine_tuning/checkpoints/(.+/permissions/[^/]+)", "revoke_permission"),
    ("POST", r"/chat/completions", "chat"),
    ("POST", r"/deployments/([^/]+)/chat/completions", "chat"),
]


class SimulatedHost:
    """Answers calls; every job it ever made stands in its ledger."""

    def __init__(
        self,
        dialect: str = "openai",
        *,
        memory: Memory | None = None,
        clock: Clock | None = None,
        key: str | None = None,
        moves: bool = True,
        largest_request: int | None = None,
    ) -> None:
        """Take the manners.

        Args:
            dialect: openai | azure | azure-dated | bare | forgetful | worker.
            memory: what it remembers by; the process's own memory when None.
            clock: what dates things.
            key: the only key that is let in; any when None.
            moves: every look at a job moves it on by one state.
            largest_request: bytes of a file that one request carries; the dialect's own when None.
        """
        self.dialect = dialect_named(dialect)
        if largest_request is not None:
            self.dialect = replace(self.dialect, largest_request=largest_request)
        self.exchanges: deque[Exchange] = deque(maxlen=KEPT_EXCHANGES)
        self._memory = memory or InMemory()
        self._clock = clock or SystemClock()
        self._key = key
        self._moves = moves
        self._recording = threading.Lock()

    @property
    def ledger(self) -> list[dict[str, Any]]:
        """One entry per job that was ever made: `job`, `metadata`, `at`."""
        with self._memory.change() as state:
            return [dict(entry) for entry in state["ledger"]]

    def order_fault(self, route: str, fault: str, *, times: int = 1, **options: Any) -> None:
        """Let the next requests on a route go wrong.

        Raises:
            ValueError: there is no such route or fault.
        """
        with self._memory.change() as state:
            faults.order(state, route, fault, times, options)

    def deploy(self, name: str, model: str) -> None:
        """Let a tuned model answer under a deployment's name."""
        with self._memory.change() as state:
            state["deployments"][name] = model

    def date_model(self, model: str, **fields: Any) -> None:
        """Let the list of models say more of one: `shutdown_date`, `deprecation`."""
        with self._memory.change() as state:
            state["model_dates"][model] = fields

    def advance(self, looks: int = 1) -> None:
        """Move every job on."""
        with self._memory.change() as state:
            move_on(state, looks, self.dialect, self._now(state))

    def send_webhook(self, url: str, secret: str, job: str, **changes: Any) -> int:
        """Tell a URL, signed, that a job has ended; as OpenAI would.

        Args:
            url: where a receiver listens.
            secret: `whsec_...`.
            job: the job's id, known or not.
            changes: `type`, `id` (of the delivery) and `at` (seconds since 1970), to send it out
                of order, again, or late.

        Returns:
            The receiver's HTTP status.

        Raises:
            ConfigurationError: the secret is none.
        """
        with self._memory.change() as state:
            known, now = state["jobs"].get(job, {}), self._now(state)
        return webhooks.send(url, secret, job, known.get("status", "succeeded"), now, **changes)

    def count(self, route: str) -> int:
        """How many requests came in on a route, whatever became of them."""
        with self._recording:
            return sum(exchange.route == route for exchange in self.exchanges)

    def respond(self, call: Call) -> Reply | None:
        """The answer; None when the connection is to be cut."""
        if call.path == "/health":
            return json_reply({"status": "ok", "version": "simulated"})
        route, subject = self._route(call)
        if (route, subject) == ("control", "webhook"):
            # Outside the lock: the receiver may ask us about the job before it answers.
            return self._webhook(call)
        with self._memory.change() as state:
            catch_up(state, self.dialect, self._now(state))
            reply = self._ordered(state, route, subject, call)
        with self._recording:
            self.exchanges.append(Exchange(route=route, call=call, reply=reply))
        return reply

    def _webhook(self, call: Call) -> Reply:
        try:
            self._let_in(call)
            return json_reply({"status": self.send_webhook(**call.json())})
        except RefusedError as no:
            return self._no(no.status, no.message, no.code)
        except (ValueError, TypeError, FtctlError) as error:
            return self._no(400, f"The webhook cannot be sent: {error}", None)

    def _route(self, call: Call) -> tuple[str, str]:
        if call.path.startswith("/_simulator/"):
            return "control", call.path.removeprefix("/_simulator/")
        if self.dialect.deployments and (found := arm.route(call)):
            return found
        path = call.path.removeprefix(self.dialect.prefix)
        for method, pattern, name in _ROUTES:
            match = re.fullmatch(pattern, path)
            if match and method == call.method and path != call.path:
                return name, match[1] if match.groups() else ""
        return "unknown", ""

    def _ordered(self, state: State, route: str, subject: str, call: Call) -> Reply | None:
        ordered = None if route == "control" else faults.take(state, route)
        if ordered is None:
            return self._answer(state, route, subject, call)
        fault, options = ordered
        if fault is Fault.LATE:
            at = self._now(state) + float(options.get("seconds", 60))
            state["late"].append(_late(at, route, subject, call))
            return None
        if fault.spares_the_host:
            return self._refused_by(fault, options)
        reply = self._answer(state, route, subject, call)
        return self._spoilt(reply, fault, options)

    def _refused_by(self, fault: Fault, options: dict[str, Any]) -> Reply | None:
        if fault is Fault.DROP_BEFORE:
            return None
        if fault is Fault.HTML_200:
            page_of_a_proxy = b"<!DOCTYPE html><html><body>Please sign in</body></html>"
            return Reply(status=200, body=page_of_a_proxy, headers={"content-type": "text/html"})
        if fault is Fault.RATE_LIMITED:
            wish = {"retry-after": str(options.get("retry_after", 1))}
            return self._no(429, "Rate limit reached", "rate_limit_exceeded", headers=wish)
        status = int(options.get("status", 500 if fault is Fault.ERROR_500 else 400))
        message = options.get("message", "This was ordered to fail.")
        return self._no(status, message, options.get("code"), param=options.get("param"))

    def _spoilt(self, reply: Reply, fault: Fault, options: dict[str, Any]) -> Reply | None:
        if fault is Fault.DROP_AFTER_ACCEPT:
            return None
        if fault is Fault.ERROR_500_AFTER_ACCEPT:
            return self._no(int(options.get("status", 500)), "This was ordered to fail.", None)
        if fault is Fault.SLOW:
            return _changed(reply, wait=float(options.get("seconds", 1.0)))
        if fault is Fault.HALF_BODY:
            return _changed(reply, cut=-len(reply.body) // 2)
        if fault is Fault.CUT:
            return _changed(reply, cut=int(options["bytes"]))
        if not reply.body:
            return reply
        return json_reply(_garbled(json.loads(reply.body), fault, options), reply.status)

    def _answer(self, state: State, route: str, subject: str, call: Call) -> Reply:
        try:
            self._let_in(call)
            value = self._value(state, route, subject, call)
        except RefusedError as no:
            return self._no(no.status, no.message, no.code, param=no.param)
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            return self._no(400, f"The request makes no sense: {type(error).__name__}.", None)
        if value is None:
            return Reply(status=204, body=b"")
        if isinstance(value, Reply):
            return value
        if isinstance(value, str):
            return Reply(
                status=200,
                body=value.encode("utf-8", "surrogateescape"),
                headers={"content-type": "application/octet-stream"},
            )
        made = route in {"create_job", "upload_file"}
        where = {"location": f"{call.path}/{value['id']}"} if made else {}
        return json_reply(value, self.dialect.created if made else 200, where)

    def _let_in(self, call: Call) -> None:
        scheme, _, key = call.headers.get("authorization", "").partition(" ")
        key = key if scheme.lower() == "bearer" else call.headers.get("api-key", "")
        if not key or (self._key is not None and key != self._key):
            raise RefusedError(401, f"Incorrect API key provided: {key}.", code="invalid_api_key")
        if self.dialect.dated and "api-version" not in call.query:
            raise RefusedError(404, "Resource not found")

    def _value(self, state: State, route: str, subject: str, call: Call) -> Any:
        if route == "control":
            return steer(
                state, subject, call, self.dialect, self._now(state), counts=self._counts()
            )
        if route == "unknown":
            raise RefusedError(404, f"Unknown request URL: {call.path}", code="unknown_url")
        if route in {"begin_upload", "add_part", "end_upload", "cancel_upload"}:
            return self._of_uploads(state, route, subject, call)
        if "permission" in route:
            return self._of_permissions(state, route, subject, call)
        if route in arm.ROUTES:
            return self._of_deployments(state, route, subject, call)
        if "file" in route:
            return self._of_files(state, route, subject, call)
        if route == "list_models":
            return {"object": "list", "data": chat.models(state)}
        if route == "get_model":
            return self._model(state, subject)
        if route == "delete_model":
            return self._deleted_model(state, subject)
        if route == "chat":
            body = {**call.json(), **({"model": subject} if subject else {})}
            return chat.answer(state, body, self.dialect, secrets.token_hex(16), self._now(state))
        return self._of_jobs(state, route, subject, call)

    def _of_deployments(self, state: State, route: str, subject: str, call: Call) -> Reply:
        making = route == "put_deployment"
        return arm.answer(
            state,
            route,
            subject,
            call,
            self._now(state),
            fails=making and faults.take(state, "provision") is not None,
            moves=self._moves,
        )

    def _of_files(self, state: State, route: str, subject: str, call: Call) -> Any:
        if route == "upload_file":
            return files.upload(state, call, self.dialect, secrets.token_hex(16), self._now(state))
        if route == "get_file":
            return files.look(files.find(state, subject), self.dialect)
        if route == "delete_file":
            return files.delete(state, subject)
        if route == "file_content":
            return files.content(files.find(state, subject))
        wanted = call.query.get("purpose")
        found = [
            files.look(record, self.dialect)
            for record in reversed(state["files"].values())
            if wanted in {None, record["purpose"]}
        ]
        if self.dialect.dated:
            return {"object": "list", "data": found}
        return page(found, call.query, 10_000)

    def _of_uploads(self, state: State, route: str, subject: str, call: Call) -> Any:
        serial, now = secrets.token_hex(16), self._now(state)
        if route == "begin_upload":
            record = uploads.begin(state, call.json(), serial, now)
            return uploads.shown(state, record, self.dialect)
        if route == "add_part":
            return uploads.add(state, subject, call, serial, now)
        if route == "end_upload":
            return uploads.end(state, subject, call.json(), self.dialect, serial=serial, now=now)
        return uploads.cancel(state, subject, self.dialect, now)

    def _of_permissions(self, state: State, route: str, subject: str, call: Call) -> Any:
        if self.dialect.name != "openai":
            raise RefusedError(404, f"Unknown request URL: {call.path}", code="unknown_url")
        if route == "list_permissions":
            return page(sharing.listed(state, subject), call.query, 10)
        if route == "grant_permission":
            serial = secrets.token_hex(16)
            granted = sharing.grant(state, subject, call.json(), serial, self._now(state))
            return page(granted, {}, len(granted))
        checkpoint, _, permission = subject.partition("/permissions/")
        return sharing.revoke(state, checkpoint, permission)

    def _deleted_model(self, state: State, name: str) -> Any:
        for job in state["jobs"].values():
            if job["fine_tuned_model"] == name:
                job["fine_tuned_model_deleted"] = True
                return {"id": name, "object": "model", "deleted": True}
        raise RefusedError(404, f"The model '{name}' does not exist", code="model_not_found")

    def _of_jobs(self, state: State, route: str, subject: str, call: Call) -> Any:
        if route == "create_job":
            return self._create(state, call)
        if route == "list_jobs":
            return self._listed(state, call)
        record = jobs.find(state, subject)
        if route == "delete_job":
            if not self.dialect.deployments:
                raise RefusedError(404, f"Unknown request URL: {call.path}", code="unknown_url")
            del state["jobs"][record["id"]]
            return None
        if route == "get_job":
            self._look(state, record)
        elif route == "events":
            return page(jobs.events(state, record, self.dialect), call.query, 20)
        elif route == "checkpoints":
            if not self.dialect.checkpoints:
                raise RefusedError(404, f"Unknown request URL: {call.path}", code="unknown_url")
            return page(record["checkpoints"][::-1], call.query, 10)
        else:
            jobs.turn(record, route.removesuffix("_job"), self.dialect, self._now(state))
        return jobs.shown(record, self.dialect)

    def _create(self, state: State, call: Call) -> Any:
        key = call.headers.get("idempotency-key")
        digest = hashlib.sha256(call.body).hexdigest()
        if key and self.dialect.idempotency_key and key in state["idempotency"]:
            before = state["idempotency"][key]
            if before["body"] != digest:
                raise RefusedError(422, "The key was used with another body.", code="reused_key")
            return jobs.shown(jobs.find(state, before["job"]), self.dialect)
        record = jobs.create(
            state, call.json(), self.dialect, secrets.token_hex(16), self._now(state)
        )
        if key and self.dialect.idempotency_key:
            state["idempotency"][key] = {"body": digest, "job": record["id"]}
        return jobs.shown(record, self.dialect)

    def _listed(self, state: State, call: Call) -> Any:
        wanted = {
            name[len("metadata[") : -1]: value
            for name, value in call.query.items()
            if name.startswith("metadata[") and self.dialect.metadata_filter
        }
        found = [
            record
            for record in reversed(state["jobs"].values())
            if wanted.items() <= (record["metadata"] or {}).items()
        ]
        answer = page(found, call.query, 20)
        for record in answer["data"]:
            self._look(state, record)
        answer["data"] = [jobs.shown(record, self.dialect) for record in answer["data"]]
        return answer

    def _look(self, state: State, record: dict[str, Any]) -> None:
        if self._moves:
            jobs.advance(state, record, self.dialect, self._now(state))

    def _model(self, state: State, name: str) -> Any:
        for model in chat.models(state):
            if model["id"] == name:
                return model
        raise RefusedError(404, f"The model '{name}' does not exist", code="model_not_found")

    def _no(
        self,
        status: int,
        message: str,
        code: str | None,
        *,
        param: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> Reply:
        return json_reply(self.dialect.error(message, code, param), status, headers)

    def _now(self, state: State) -> int:
        return int(self._clock.now().timestamp() + state["shift"])

    def _counts(self) -> dict[str, int]:
        with self._recording:
            return dict(Counter(exchange.route for exchange in self.exchanges))


def _changed(reply: Reply, *, wait: float = 0.0, cut: int | None = None) -> Reply:
    return Reply(status=reply.status, body=reply.body, headers=reply.headers, wait=wait, cut=cut)


def _garbled(body: Any, fault: Fault, options: dict[str, Any]) -> Any:
    word = options.get("word", "hibernating")
    if fault is Fault.NO_ID:
        for name in ("id", "name"):
            body.pop(name, None)
        return body
    if fault is Fault.STRANGE:
        return body | {"id": "ftjob-strange", "metadata": {"ftctl_token": "0" * 26}}
    for deployment in [*body.get("value", ()), body]:
        if "properties" in deployment:
            deployment["properties"]["provisioningState"] = word
    return body if "properties" in body or "value" in body else body | {"status": word}


def _late(at: float, route: str, subject: str, call: Call) -> dict[str, Any]:
    plain: dict[str, Any] = {"at": at, "body": call.body.decode()}
    if route == "put_deployment":
        version = call.query.get("api-version", "")
        plain["deployment"] = subject
        plain["target"] = f"{quote(call.path)}?api-version={version}"
        plain["headers"] = dict(call.headers)
    return plain

"""Azure Resource Manager's deployments, simulated: the resource that lies beside a simulated Azure."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from providers.simulator.exchange import RefusedError, Reply, json_reply

if TYPE_CHECKING:
    from providers.simulator.exchange import Call
    from providers.simulator.state import State

TYPE = "Microsoft.CognitiveServices/accounts/deployments"
ROUTES = (
    "put_deployment", "get_deployment", "list_deployments", "delete_deployment", "get_operation",
)  # fmt: skip
PAGE = 5
QUOTA = 250
DEVELOPER_SECONDS = 24 * 3600

_ACCOUNT = r"/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.CognitiveServices/accounts/[^/]+"
_ONE = re.compile(rf"{_ACCOUNT}/deployments/([^/]+)")
_ALL = re.compile(rf"{_ACCOUNT}/deployments")
_OPERATION = re.compile(
    r"/subscriptions/[^/]+/providers/Microsoft\.CognitiveServices/operations/([^/]+)"
)
_ONE_VERBS = {"PUT": "put_deployment", "GET": "get_deployment", "DELETE": "delete_deployment"}


def route(call: Call) -> tuple[str, str] | None:
    """The route of a call and what it is about; None when it is not Resource Manager's."""
    if (match := _ONE.fullmatch(call.path)) and call.method in _ONE_VERBS:
        return _ONE_VERBS[call.method], match[1]
    if _ALL.fullmatch(call.path) and call.method == "GET":
        return "list_deployments", ""
    if (match := _OPERATION.fullmatch(call.path)) and call.method == "GET":
        return "get_operation", match[1]
    return None


def answer(
    state: State, route: str, name: str, call: Call, now: int, *, fails: bool, moves: bool
) -> Reply:
    """What Resource Manager says.

    Args:
        state: what the host remembers.
        route: one of ROUTES.
        name: the deployment, or the operation.
        call: for body, headers and query.
        now: seconds since 1970.
        fails: what this PUT makes will fail.
        moves: every look at a deployment moves it on.

    Raises:
        RefusedError: no.
    """
    if "api-version" not in call.query:
        raise RefusedError(
            400,
            "The api-version query parameter (?api-version=) is required for all requests.",
            code="MissingApiVersionParameter",
        )
    if route == "put_deployment":
        return _put(state, name, call, now, fails=fails)
    if route == "list_deployments":
        return _list(state, call, moves=moves)
    if route == "get_operation":
        return _operation(state, name)
    if route == "delete_deployment":
        return _delete(state, name)
    record = _find(state, name)
    reply = json_reply(shown(record, call.path))
    if moves:
        move(state, record)
    return reply


def records(state: State) -> list[dict[str, Any]]:
    """Every deployment, by name, with those that were put there by hand."""
    for name, model in state["deployments"].items():
        if name not in state["arm"]:
            state["arm"][name] = _record(name, model, "Standard", 1, 0) | {"word": "Succeeded"}
    return [state["arm"][name] for name in sorted(state["arm"])]


def move(state: State, record: dict[str, Any]) -> None:
    """One step on: made, failed, or gone."""
    if record["word"] == "Deleting":
        state["arm"].pop(record["name"], None)
        state["deployments"].pop(record["name"], None)
    elif record["word"] == "Accepted":
        record["word"] = "Creating"
    elif record["word"] == "Creating":
        record["word"] = "Failed" if record["fails"] else "Succeeded"
        if not record["fails"]:
            state["deployments"][record["name"]] = record["model"]


def expire(state: State, now: int) -> None:
    """Developer deployments end after a day."""
    for record in list(state["arm"].values()):
        developer = record["sku"].lower() == "developertier"
        if developer and now >= record["created"] + DEVELOPER_SECONDS:
            record["word"] = "Deleting"
            move(state, record)


def shown(record: dict[str, Any], path: str) -> dict[str, Any]:
    """A deployment as it is told."""
    account = path.partition("/deployments")[0]
    made = datetime.fromtimestamp(record["created"], UTC).isoformat()
    return {
        "id": f"{account}/deployments/{record['name']}",
        "name": record["name"],
        "type": TYPE,
        "sku": {"name": record["sku"], "capacity": record["capacity"]},
        "properties": {
            "model": {"format": "OpenAI", "name": record["model"], "version": "1"},
            "provisioningState": record["word"],
        },
        "systemData": {"createdAt": made},
    }


def _put(state: State, name: str, call: Call, now: int, *, fails: bool) -> Reply:
    wanted = call.json()
    model, sku = str(wanted["properties"]["model"]["name"]), wanted["sku"]
    before = next((each for each in records(state) if each["name"] == name), None)
    if before is not None and call.headers.get("if-none-match") == "*":
        raise RefusedError(412, "The resource exists already.", code="PreconditionFailed")
    if before is not None and before["word"] not in {"Succeeded", "Failed"}:
        raise RefusedError(
            409, "Another operation is being performed on the resource.", code="RequestConflict"
        )
    _refuse_unknown(state, model)
    used = sum(each["capacity"] for each in records(state) if each["name"] != name)
    if used + int(sku.get("capacity", 1)) > QUOTA:
        raise RefusedError(
            400,
            f"This operation requires {sku.get('capacity', 1)} new capacity in quota, and"
            f" {QUOTA - used} of {QUOTA} are left.",
            code="InsufficientQuota",
        )
    record = _record(name, model, str(sku["name"]), int(sku.get("capacity", 1)), now)
    if before is not None:
        record["created"] = before["created"]
    record["fails"] = fails
    state["arm"][name] = record
    state["deployments"].pop(name, None)
    state["hosted"].append({"name": name, "model": model, "at": now})
    return _accepted(record, call, 201 if before is None else 200)


def _accepted(record: dict[str, Any], call: Call, status: int) -> Reply:
    host = call.headers.get("host", "management.azure.com")
    subscription = call.path.split("/")[2]
    operation = (
        f"http://{host}/subscriptions/{subscription}/providers/Microsoft.CognitiveServices"
        f"/operations/{quote(record['name'])}?api-version={call.query['api-version']}"
    )
    return json_reply(shown(record, call.path), status, {"azure-asyncoperation": operation})


def _refuse_unknown(state: State, model: str) -> None:
    tuned = {job["fine_tuned_model"] for job in state["jobs"].values()}
    points = {
        point.get("fine_tuned_model_checkpoint")
        for job in state["jobs"].values()
        for point in job.get("checkpoints", ())
    }
    if model not in tuned | points:
        raise RefusedError(
            400, f"The model 'Format:OpenAI,Name:{model},Version:1' is not available.",
            code="DeploymentModelNotSupported",
        )  # fmt: skip


def _list(state: State, call: Call, *, moves: bool) -> Reply:
    everything = records(state)
    start = int(call.query.get("$skipToken", "0"))
    some = everything[start : start + PAGE]
    body: dict[str, Any] = {"value": [shown(each, call.path) for each in some]}
    if start + PAGE < len(everything):
        host = call.headers.get("host", "management.azure.com")
        body["nextLink"] = (
            f"http://{host}{quote(call.path)}?api-version={call.query['api-version']}"
            f"&$skipToken={start + PAGE}"
        )
    if moves:
        for each in some:
            move(state, each)
    return json_reply(body)


def _operation(state: State, name: str) -> Reply:
    record = _find(state, name)
    body: dict[str, Any] = {"status": record["word"]}
    if record["word"] == "Failed":
        sentence = (
            "The base model of this fine-tune is not available in the region of the resource."
        )
        body["error"] = {"code": "ModelNotAvailableInRegion", "message": sentence}
    return json_reply(body)


def _delete(state: State, name: str) -> Reply:
    found = next((each for each in records(state) if each["name"] == name), None)
    if found is None:
        return Reply(status=204, body=b"")
    found["word"] = "Deleting"
    state["deployments"].pop(name, None)
    return Reply(status=202, body=b"")


def _find(state: State, name: str) -> dict[str, Any]:
    for record in records(state):
        if record["name"] == name:
            return record
    raise RefusedError(404, f"The Resource '{name}' was not found.", code="ResourceNotFound")


def _record(name: str, model: str, sku: str, capacity: int, now: int) -> dict[str, Any]:
    return {
        "name": name,
        "model": model,
        "sku": sku,
        "capacity": capacity,
        "created": now,
        "word": "Accepted",
        "fails": False,
    }

"""What a rehearsal steers a simulated host by, under `/_simulator/`."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any

from providers.simulator import arm, faults, jobs
from providers.simulator.exchange import RefusedError, call
from providers.simulator.state import forget

if TYPE_CHECKING:
    from collections.abc import Mapping

    from providers.simulator.dialects import SimulatedDialect
    from providers.simulator.exchange import Call
    from providers.simulator.state import State


def steer(
    state: State,
    verb: str,
    asked: Call,
    dialect: SimulatedDialect,
    now: int,
    *,
    counts: Mapping[str, int],
) -> Any:
    """Tell the ledger or the requests counted by route, or change what is to come.

    Raises:
        RefusedError: there is no such verb.
    """
    if asked.method == "GET":
        told: dict[str, Any] = {
            "ledger": {"jobs": state["ledger"]},
            "hosted": state["hosted"],
            "counts": dict(counts),
            "deployments": arm.records(state),
        }
        if verb in told:
            return told[verb]
    body = asked.json()
    if verb == "faults":
        faults.order(state, body.pop("route"), body.pop("fault"), body.pop("times", 1), body)
    elif verb == "clock":
        state["shift"] += float(body["seconds"])
    elif verb == "deployments":
        state["deployments"][body["name"]] = body["model"]
    elif verb == "model_dates":
        state["model_dates"][body["model"]] = body["fields"]
    elif verb == "reset":
        forget(state)
    elif verb == "advance":
        move_on(state, int(body.get("looks", 1)), dialect, now, every=int(body.get("every", 1)))
    else:
        raise RefusedError(
            404,
            "The simulator steers by ledger, faults, clock, deployments, model_dates, advance,"
            " reset, webhook.",
        )
    return {"ordered": verb}


def move_on(
    state: State, looks: int, dialect: SimulatedDialect, now: int, *, every: int = 1
) -> None:
    """Move every job on, or every so many-th."""
    for _ in range(looks):
        for record in list(state["jobs"].values())[::every]:
            jobs.advance(state, record, dialect, now)
        for deployment in list(state["arm"].values()):
            arm.move(state, deployment)


def catch_up(state: State, dialect: SimulatedDialect, now: int) -> None:
    """Carry out the requests that were ordered to take effect late, if it is time."""
    arm.expire(state, now)
    for late in [late for late in state["late"] if late["at"] <= now]:
        state["late"].remove(late)
        if late.get("deployment"):
            _deploy_late(state, late)
            continue
        jobs.create(state, json.loads(late["body"]), dialect, secrets.token_hex(16), late["at"])


def _deploy_late(state: State, late: dict[str, Any]) -> None:
    again = call("PUT", late["target"], late["headers"], late["body"].encode())
    try:
        arm.answer(
            state, "put_deployment", late["deployment"], again, late["at"], fails=False, moves=False
        )
    except RefusedError:
        return

"""What a rehearsal steers a simulated host by, under `/_simulator/`."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any

from providers.simulator import faults, jobs
from providers.simulator.exchange import RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from providers.simulator.dialects import SimulatedDialect
    from providers.simulator.exchange import Call
    from providers.simulator.state import State


def steer(
    state: State,
    verb: str,
    call: Call,
    dialect: SimulatedDialect,
    now: int,
    *,
    counts: Mapping[str, int],
) -> Any:
    """Tell the ledger or the requests counted by route, or change what is to come.

    Raises:
        RefusedError: there is no such verb.
    """
    if call.method == "GET":
        told = {"ledger": {"jobs": state["ledger"]}, "counts": dict(counts)}
        if verb in told:
            return told[verb]
    body = call.json()
    if verb == "faults":
        faults.order(state, body.pop("route"), body.pop("fault"), body.pop("times", 1), body)
    elif verb == "clock":
        state["shift"] += float(body["seconds"])
    elif verb == "deployments":
        state["deployments"][body["name"]] = body["model"]
    elif verb == "model_dates":
        state["model_dates"][body["model"]] = body["fields"]
    elif verb == "advance":
        move_on(state, int(body.get("looks", 1)), dialect, now, every=int(body.get("every", 1)))
    else:
        raise RefusedError(
            404,
            "The simulator steers by ledger, faults, clock, deployments, model_dates, advance,"
            " webhook.",
        )
    return {"ordered": verb}


def move_on(
    state: State, looks: int, dialect: SimulatedDialect, now: int, *, every: int = 1
) -> None:
    """Move every job on, or every so many-th."""
    for _ in range(looks):
        for record in list(state["jobs"].values())[::every]:
            jobs.advance(state, record, dialect, now)


def catch_up(state: State, dialect: SimulatedDialect, now: int) -> None:
    """Make the jobs whose requests were ordered to take effect late, if it is time."""
    for late in [late for late in state["late"] if late["at"] <= now]:
        state["late"].remove(late)
        jobs.create(state, json.loads(late["body"]), dialect, secrets.token_hex(16), late["at"])

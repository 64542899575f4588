"""Checkpoints of a simulated host that other projects may use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from providers.simulator.exchange import RefusedError

if TYPE_CHECKING:
    from providers.simulator.state import State


def listed(state: State, checkpoint: str) -> list[dict[str, Any]]:
    """Every permission of a checkpoint, newest first.

    Raises:
        RefusedError: there is no such checkpoint.
    """
    _must_be_there(state, checkpoint)
    given: list[dict[str, Any]] = state["permissions"].get(checkpoint, [])
    return given[::-1]


def grant(state: State, checkpoint: str, body: Any, serial: str, now: int) -> list[dict[str, Any]]:
    """Let projects use a checkpoint.

    Raises:
        RefusedError: no such checkpoint, or what is named is no project.
    """
    _must_be_there(state, checkpoint)
    projects = body.get("project_ids")
    if not projects or not all(str(each).startswith("proj_") for each in projects):
        raise RefusedError(400, "'project_ids' must name projects.", param="project_ids")
    granted = [
        {
            "id": f"cp_{serial[:16]}{number}",
            "object": "checkpoint.permission",
            "created_at": now,
            "project_id": project,
        }
        for number, project in enumerate(projects)
    ]
    state["permissions"].setdefault(checkpoint, []).extend(granted)
    return granted


def revoke(state: State, checkpoint: str, permission: str) -> dict[str, Any]:
    """Take a permission back.

    Raises:
        RefusedError: there is none.
    """
    given = state["permissions"].get(checkpoint, [])
    left = [each for each in given if each["id"] != permission]
    if len(left) == len(given):
        raise RefusedError(404, f"No such permission: {permission}", param="permission_id")
    state["permissions"][checkpoint] = left
    return {"id": permission, "object": "checkpoint.permission", "deleted": True}


def _must_be_there(state: State, checkpoint: str) -> None:
    known = {
        point["fine_tuned_model_checkpoint"]
        for job in state["jobs"].values()
        for point in job["checkpoints"]
    }
    tuned = {job["fine_tuned_model"] for job in state["jobs"].values()}
    if checkpoint not in known | tuned:
        raise RefusedError(404, f"No such checkpoint: {checkpoint}", code="model_not_found")

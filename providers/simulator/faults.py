"""What can be ordered to go wrong, and when."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from providers.simulator.state import State

ROUTES = (
    "create_job", "get_job", "list_jobs", "cancel_job", "pause_job", "resume_job", "events",
    "checkpoints", "upload_file", "get_file", "list_files", "file_content", "list_models",
    "get_model", "chat", "train", "delete_file", "delete_model", "delete_job", "begin_upload",
    "add_part", "end_upload", "cancel_upload", "list_permissions", "grant_permission",
    "revoke_permission", "put_deployment", "get_deployment", "list_deployments",
    "delete_deployment", "get_operation", "provision", "*",
)  # fmt: skip

# Not requests, but what becomes of them.
_INSIDE = frozenset({"train", "provision"})


class Fault(StrEnum):
    """One way to fail. "Accept" means that the request took effect."""

    DROP_BEFORE = "drop_before"  #: the connection closes; nothing took effect
    DROP_AFTER_ACCEPT = "drop_after_accept"  #: it took effect; the connection closes
    ERROR_500 = "error_500"  #: 500; nothing took effect
    ERROR_500_AFTER_ACCEPT = "error_500_after_accept"  #: it took effect; 500
    RATE_LIMITED = "rate_limited"  #: 429; option `retry_after`
    REFUSE = "refuse"  #: options `status`, `code`, `message`, `param`; nothing took effect
    HALF_BODY = "half_body"  #: it took effect; the answer ends in its middle
    CUT = "cut"  #: it took effect; the answer ends after `bytes`, its headers included
    HTML_200 = "html_200"  #: a page instead of an answer; nothing took effect
    NO_ID = "no_id"  #: it took effect; the answer carries no id
    STRANGE = "strange"  #: it took effect; the answer is about another job
    UNKNOWN_STATUS = "unknown_status"  #: the answer carries a word nobody knows
    SLOW = "slow"  #: it took effect; the answer comes after `seconds`
    LATE = "late"  #: for `create_job`, `put_deployment`: closes; takes effect after `seconds`
    FAIL = "fail"  #: for `train`, `provision`: the next job, the next deployment that is made fails

    @property
    def spares_the_host(self) -> bool:
        """The request takes no effect."""
        return self in {
            Fault.DROP_BEFORE,
            Fault.ERROR_500,
            Fault.RATE_LIMITED,
            Fault.REFUSE,
            Fault.HTML_200,
        }


def order(state: State, route: str, fault: str, times: int, options: dict[str, Any]) -> None:
    """Add to the queue.

    Raises:
        ValueError: there is no such route or fault.
    """
    if route not in ROUTES:
        raise ValueError(f"There is no route '{route}'; known are {', '.join(ROUTES)}.")
    entry = {"route": route, "fault": Fault(fault).value, "options": options}
    if fault == Fault.LATE and route not in {"create_job", "put_deployment"}:
        raise ValueError("Only create_job and put_deployment can take effect late.")
    state["faults"].extend(dict(entry) for _ in range(times))


def take(state: State, route: str) -> tuple[Fault, dict[str, Any]] | None:
    """The next order for a route; each is carried out once."""
    for index, entry in enumerate(state["faults"]):
        if entry["route"] == route or (entry["route"] == "*" and route not in _INSIDE):
            del state["faults"][index]
            return Fault(entry["fault"]), entry["options"]
    return None

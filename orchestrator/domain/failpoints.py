"""Named places at which a test may end the process. Nothing happens there otherwise.

The names stand in the code where a crash would hurt most: around every commit and every request.
A test arms one of them (tests/reliability); nothing else does, for the environment is asked only
where FTCTL_TEST=1 says that this is a test.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

SUBMIT = (
    "submit.begun",
    "submit.data_kept",
    "submit.reserved",
    "submit.intent_written",
    "submit.uploading",
    "submit.file_found",
    "submit.file_sent",
    "submit.file_remembered",
    "submit.ready",
    "submit.submitting",
    "submit.answered",
    "submit.unclear",
    "submit.not_taken",
    "submit.refused",
    "submit.accepted",
    "submit.settled",
)
# Reached only by files that travel in parts.
PARTS = ("submit.part_sent",)
SYNC = (
    "sync.begun",
    "sync.claimed",
    "sync.known_to_be_in_doubt",
    "sync.listed",
    "sync.absent_once",
    "sync.absent_twice",
    "sync.adopted",
    "sync.told",
    "sync.history_kept",
    "sync.written",
    "sync.ended",
)
DEPLOY = (
    "deploy.begun",
    "deploy.intent_written",
    "deploy.looked",
    "deploy.sending",
    "deploy.answered",
    "deploy.unclear",
    "deploy.not_taken",
    "deploy.refused",
    "deploy.accepted",
    "undeploy.deleting",
    "undeploy.asked",
    "undeploy.ended",
    "hosting.listed",
    "hosting.written",
)
APPLY = (
    "apply.begun",
    "apply.recorded",
    "apply.bound",
    "apply.submitted",
    "apply.followed",
    "apply.chosen",
    "apply.comparing",
    "apply.comparison_bound",
    "apply.compared",
    "apply.reported",
)
COMPARE = (
    "compare.reserved",
    "compare.asking",
    "compare.answered",
    "compare.metered",
    "compare.kept",
    "compare.settled",
)
NOTIFY = ("notify.gathered", "notify.sent")
WEBHOOKS = ("webhook.kept",)
ADOPT = ("adopt.file_kept", "adopt.job_kept")
NAMES = (*SUBMIT, *PARTS, *SYNC, *DEPLOY, *COMPARE, *APPLY, *NOTIFY, *WEBHOOKS, *ADOPT)


def _go_on(_name: str) -> None:
    """Nothing."""


_action: Callable[[str], None] = _go_on


def reach(name: str) -> None:
    """The program is at that point."""
    _action(name)


def arm(action: Callable[[str], None] | None) -> None:
    """From now on, call `action` with every name that is reached; None disarms."""
    global _action  # noqa: PLW0603 - one process, one test
    _action = action or _go_on


def at(wanted: str, action: Callable[[], None]) -> Callable[[str], None]:
    """An action for one point.

    Args:
        wanted: a name, or `name:3` for the third time it is reached.
        action: what happens there.

    Raises:
        ValueError: there is no such point.
    """
    name, _, count = wanted.partition(":")
    if name not in NAMES:
        raise ValueError(f"There is no failpoint '{name}'.")
    left = int(count or 1)

    def act(reached: str) -> None:
        nonlocal left
        if reached == name:
            left -= 1
            if left == 0:
                action()

    return act

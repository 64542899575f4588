"""How a trainer is started: as one process, or as one for each of several cards.

The processes of one job are started and watched by the trainer that the executor knows: what ends
one of them ends all, and the trainer itself ends as the first of them did. So a process that was
killed looks to the server like a trainer that was, and the job goes on from its last state.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["environment_of", "plain", "run_several"]

_HOST = "127.0.0.1"
# What `accelerate launch` would say for FSDP, in its own words.
_SHARDED = {
    "ACCELERATE_USE_FSDP": "true",
    "FSDP_VERSION": "2",
    "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
    "FSDP_STATE_DICT_TYPE": "FULL_STATE_DICT",
    "FSDP_RESHARD_AFTER_FORWARD": "true",
    "FSDP_CPU_RAM_EFFICIENT_LOADING": "true",
    "FSDP_SYNC_MODULE_STATES": "true",
}


def plain(python: str, arguments: Sequence[str]) -> list[str]:
    """Return the command of a trainer."""
    return [python, "-m", "ftctl_worker.train", *arguments]


def environment_of(rank: int, *, count: int, port: int, shard: bool) -> dict[str, str]:
    """Return what tells process ``rank`` of ``count`` of one machine how to find the others.

    Each has a copy of the model and a part of the batch; with ``shard`` it has a part of the model,
    too (FSDP), for models that are too large for one card.
    """
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": _HOST,
        "MASTER_PORT": str(port),
        **(_SHARDED if shard else {}),
    }


def run_several(
    line: Sequence[str], environment: Mapping[str, str], *, count: int, shard: bool
) -> int:
    """Run ``count`` processes of one job to their end.

    They get our SIGTERM, and are killed as soon as one of them fails: it would wait for the lost
    one else.

    Returns:
        The exit code of the first that failed, negative where a signal ended it; 0 where none did.
    """
    port = _free_port()
    alive = {}
    for rank in range(count):
        own = environment_of(rank, count=count, port=port, shard=shard)
        process = subprocess.Popen(line, env={**environment, **own})
        alive[process.pid] = process
    before = signal.signal(signal.SIGTERM, lambda *_: _send(alive, signal.SIGTERM))
    first = 0
    while alive:
        pid, status = os.wait()
        alive.pop(pid, None)
        code = os.waitstatus_to_exitcode(status)
        if code and not first:
            first = code
            _send(alive, signal.SIGKILL)
    signal.signal(signal.SIGTERM, before)
    return first


def _send(alive: Mapping[int, object], what: signal.Signals) -> None:
    for pid in tuple(alive):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, what)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind((_HOST, 0))
        port: int = one.getsockname()[1]
        return port

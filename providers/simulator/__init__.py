"""A host that costs nothing, for rehearsals and tests: OpenAI's dialect, Azure's, the worker's.

It ships with ftctl. It keeps files and jobs, moves a job on by every look at it, writes every
job it ever made into a ledger, and fails on order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from providers.simulator.faults import Fault
from providers.simulator.host import SimulatedHost
from providers.simulator.provider import build, deployment_host
from providers.simulator.server import Simulator

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Fault", "SimulatedHost", "Simulator", "build", "deployment_host", "serve_simulator"]


def serve_simulator(
    host: str = "127.0.0.1",
    port: int = 0,
    dialect: str = "openai",
    *,
    on_ready: Callable[[str], None] = lambda _: None,
) -> None:
    """Answer at a port until interrupted.

    Args:
        host: address to listen on.
        port: 0 takes a free one.
        dialect: openai | azure | worker.
        on_ready: is told the base URL once the port is bound.

    Raises:
        UsageError: there is no such dialect.
        OSError: the port cannot be had.
    """
    simulator = Simulator(dialect, host=host, port=port)
    try:
        on_ready(simulator.url)
        simulator.serve()
    finally:
        simulator.close()

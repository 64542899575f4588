"""The engine ``peft``: our own training loop."""

from __future__ import annotations

from ftctl_worker.train import train

__all__ = ["train"]

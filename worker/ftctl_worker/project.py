"""Projects: what tokens open. Those of one project share all of it, and see nothing of another."""

from __future__ import annotations

__all__ = ["DEFAULT_PROJECT"]

DEFAULT_PROJECT = "default"

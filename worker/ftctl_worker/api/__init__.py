"""The HTTP face of the worker: OpenAI's routes over the stores, the supervisor and the engine."""

from __future__ import annotations

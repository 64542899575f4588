"""ftctl-worker: a self-hosted LoRA fine-tuning server behind OpenAI's fine-tuning API."""

from __future__ import annotations

__version__ = "0.1.0"

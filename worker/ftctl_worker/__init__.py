"""The self-hosted fine-tuning worker: OpenAI's API over LoRA training with torch and peft."""

from __future__ import annotations

import os

__version__ = "0.1.0"

# Must be set before torch loads its OpenMP runtime. Threads that spin while they wait for each other
# make a step up to fifteen times slower as soon as other programs want the same cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

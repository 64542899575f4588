"""Lets ``python -m ftctl_worker`` stand for the ``ftctl-worker`` command."""

from __future__ import annotations

import sys

from ftctl_worker.cli import main

if __name__ == "__main__":
    sys.exit(main())

"""`python -m orchestrator` is `ftctl`."""

from orchestrator.cli import main

main()

"""Sends a server what schemathesis makes of OpenAI's description, and looks at every answer.

    python -m tests.worker.fuzz --examples 300 --seed 1

Every value of every request is set to what its schema allows, forbids and hardly allows, one by one
(the coverage phase); then come random requests, ``--examples`` of them for each operation. What a
schema forbids must be refused, every answer must conform to the description, none may be a server
error, and whoever has no token must get 401 and nothing else. The counts come from the server.
"""

from __future__ import annotations

import argparse
import copy
import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from tests.worker import contract, servers
from tests.worker.mini_model import DEFAULTS, build_mini_model
from tests.worker.servers import TOKEN, Worker

_CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_schema_conformance,negative_data_rejection,unsupported_method"
)
_ANSWERS = re.compile(r'^ftctl_worker_http_requests_total\{.*status="(\d+)"\} (\d+)$', re.MULTILINE)


@dataclass(frozen=True)
class Fuzzed:
    """How often each status was answered, and what schemathesis said where it found something."""

    answers: Counter[int]
    complaint: str

    @property
    def server_errors(self) -> int:
        """How many answers were the server's fault; a full disk is not."""
        return sum(count for status, count in self.answers.items() if status in {500, 502, 503})

    def report(self) -> str:
        """Return the figures in one line."""
        counts = ", ".join(f"{count} x {status}" for status, count in sorted(self.answers.items()))
        return f"{self.answers.total()} answers ({counts}), {self.server_errors} server errors"


def fuzz(
    worker: Worker, folder: Path, *, phases: str, examples: int, seed: int, token: str = TOKEN,
    only: str = "",
) -> Fuzzed:  # fmt: skip
    """Run schemathesis against a server; ``only`` is an expression for the paths to take."""
    description = folder / "description.json"
    description.write_text(json.dumps(_described()), encoding="utf-8")
    before = answers_of(worker)
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", str(description)),
            *("--url", worker.url, "-H", f"Authorization: Bearer {token}"),
            *("--phases", phases, "--max-examples", str(examples), "--seed", str(seed)),
            *("--checks", _CHECKS if token == TOKEN else "not_a_server_error"),
            *("--include-path-regex", only or "."),
            *("--suppress-health-check", "all", "--no-color", "--warnings", "off"),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    said = "" if ended.returncode == 0 else ended.stdout[-4000:] + ended.stderr[-2000:]
    # The last one is the question itself.
    return Fuzzed(answers_of(worker) - before - Counter({200: 1}), said)


def _described() -> dict[str, Any]:
    """Return the description, without the type of values that a URL has as text in any case."""
    document = copy.deepcopy(contract.document())
    for parameter in document["paths"]["/fine_tuning/jobs"]["get"]["parameters"]:
        if parameter["name"] == "metadata":
            parameter["schema"] = {"type": ["object", "null"]}
    return document


def answers_of(worker: Worker) -> Counter[int]:
    """Return how often a server has answered with each status."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    text = httpx2.get(f"{worker.url.removesuffix('/v1')}/metrics", headers=headers).text
    counts: Counter[int] = Counter()
    for status, count in _ANSWERS.findall(text):
        counts[int(status)] += int(count)
    return counts


def main() -> int:
    """Run it with a token, and without; return 1 where anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build_mini_model(folder / "models" / "mini", defaults=DEFAULTS)
        with servers.running(folder, "--models-dir", str(folder / "models")) as worker:
            runs = {"examples": options.examples, "seed": options.seed}
            inside = fuzz(worker, folder, phases="coverage,fuzzing,stateful", **runs)
            outside = fuzz(worker, folder, phases="coverage,fuzzing", token="wrong", **runs)
    sys.stdout.write(f"with a token: {inside.report()}\nwithout: {outside.report()}\n")
    sys.stdout.write(inside.complaint + outside.complaint)
    right = not inside.complaint and not inside.server_errors and set(outside.answers) == {401}
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())

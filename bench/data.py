"""Validation against a bare parser, JSON Schema and its peers, on generated files, in one run.

Prints ratios, since they hold on any machine. "CPU" is bytes per CPU second of one process; "wall"
is the whole command as it is typed, with as many processes as it takes by itself.

    python bench/data.py [MEGABYTES [MEGABYTES_OF_EACH_SHAPE]]
"""

from __future__ import annotations

import atexit
import functools
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peers import cookbook, parser, together, tokenizer
from rows import SHAPES, write

from orchestrator.datasets.checking.checks import Checks
from orchestrator.datasets.checking.explain import validator_of
from orchestrator.datasets.checking.parallel import parts_of, scan_part
from orchestrator.datasets.checking.validation import validate
from orchestrator.datasets.tokens import vocabularies
from orchestrator.domain.jobs.job import Method

if TYPE_CHECKING:
    from collections.abc import Callable

ROWS_FOR_THE_SLOW = 1000
METHODS = {"dpo": Method.DPO, "reinforcement": Method.REINFORCEMENT}


def seconds(work: Callable[[], object]) -> float:
    """CPU seconds of this process."""
    start = time.process_time()
    work()
    return time.process_time() - start


def in_turn(*works: Callable[[], object], times: int = 3) -> list[float]:
    """The best of several runs of each, in turn: the machine may be busy with other work."""
    return [
        min(each) for each in zip(*([seconds(w) for w in works] for _ in range(times)), strict=True)
    ]


def main() -> None:
    numbers = [int(each) * 1_000_000 for each in sys.argv[1:]]
    large, small = (numbers + [50_000_000, 5_000_000][len(numbers) :])[:2]
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        bench.one_file(large)
        bench.shapes(small)
        bench.as_typed(large)


class Bench:
    """Every measure, one table after the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name, self.loads = parser()
        self.count, self.by = tokenizer()

    def file(self, size: int, shape: str) -> Path:
        path = self.folder / f"{shape}.{size}.jsonl"
        if not path.exists():
            write(path, size, shape)
        return path

    def parse(self, path: Path) -> None:
        with path.open("rb") as stream:
            for line in stream:
                self.loads(line)

    def one_file(self, size: int) -> None:
        path = self.file(size, "mixed")
        lines = path.read_bytes().splitlines(keepends=True)
        few = self.folder / "few.jsonl"
        few.write_bytes(b"".join(lines[:ROWS_FOR_THE_SLOW]))
        print(f"mixed rows: {len(lines)}, {path.stat().st_size / 1e6:.0f} MB; CPU")
        form = functools.partial(validate, path, count_tokens=False, content=False)
        checks = Checks(count_tokens=False, content=False)
        halves = [functools.partial(scan_part, path, part, checks) for part in parts_of(path, 2)]
        bare, ours, *parts = in_turn(functools.partial(self.parse, path), form, *halves)
        share = few.stat().st_size / path.stat().st_size
        schema = seconds(lambda: self.schema(lines[:ROWS_FOR_THE_SLOW])) / share
        told(f"validate, form, one process / {self.name}", bare / ours, 0.55)
        told(f"validate, form, two processes / {self.name}", bare / max(parts), 1.0)
        told("validate, form / jsonschema", schema / ours, 60)
        if (check := together()) is None:
            print("  together's check_file: skipped, the package together is not installed")
        else:
            told(
                "validate, form / together's check_file", seconds(lambda: check(path)) / ours, None
            )
        grown = peak(path) - peak(few) - 16 * len(lines) / 1e6
        told("peak memory over the start and 16 B a row, MB (a limit)", grown, 60, least=False)
        cold(few)  # Modules are compiled once, as an installation does.
        told("1,000 rows with tokens, whole command, CPU s (a limit)", cold(few), 0.5, least=False)

    def schema(self, lines: list[bytes]) -> None:
        slow = validator_of(Method.SUPERVISED)
        for line in lines:
            slow.is_valid(self.loads(line))

    def shapes(self, size: int) -> None:
        """Of one process: how often the cookbook's time ours goes, for rows of each shape."""
        print(
            f"\neach shape: {size / 1e6:.0f} MB; CPU of one process; the cookbook's tokens: {self.by}"
        )
        print("                form/parser  content/parser | form and tokens/cookbook  with `fast`")
        vocabularies._load_quick()  # Its start is told apart.
        for shape in SHAPES:
            path, method = self.file(size, shape), METHODS.get(shape, Method.SUPERVISED)
            check = functools.partial(validate, path, method=method)
            bare, form, content = in_turn(
                functools.partial(self.parse, path),
                functools.partial(check, count_tokens=False, content=False),
                functools.partial(check, count_tokens=False),
            )
            line = f"  {shape:14}{bare / form:11.2f}{bare / content:16.2f}"
            if method is Method.SUPERVISED and shape not in {"tools", "mixed"}:
                line += " |" + "".join(f"{each:20.1f}" for each in self.tokens(path))
            print(line, flush=True)

    def tokens(self, path: Path) -> tuple[float, float]:
        """How often ours goes into the cookbook's time: by default, and with the extra `fast`."""
        default = functools.partial(validate, path, content=False)
        peer, ours, quick = in_turn(
            lambda: cookbook(path, self.count), default, functools.partial(quickly, default)
        )
        return peer / ours, peer / quick

    def as_typed(self, size: int) -> None:
        """The whole command, content included, and the cookbook's script, by the clock."""
        path = self.file(max(size, 42_000_000), "talk")
        print(f"\nas it is typed: {path.stat().st_size / 1e6:.0f} MB of talk; wall")
        command = [sys.executable, "-m", "orchestrator", "validate", str(path)]
        ours, spent, processes = wall(command)
        peer = alone = float("inf")
        for _ in range(3):
            start = time.perf_counter()
            alone = min(alone, seconds(lambda: cookbook(path, self.count)))
            peer = min(peer, time.perf_counter() - start)
            ours, spent = map(min, (ours, spent), wall(command))
        told(
            f"ftctl validate ({processes} processes) / cookbook and tokens, rows/s", peer / ours, 5
        )
        told("the same by CPU seconds, of all processes and the start", alone / spent, None)
        print(
            f"  {'the quick tokenizer is taken from':58}"
            f"{vocabularies.WORTH_A_QUICK_ONE / 1e6:6.0f} MB a process on"
        )


def quickly(work: Callable[[], Any]) -> None:
    """With the extra `fast`, whatever the size of the file."""
    usual = vocabularies.WORTH_A_QUICK_ONE
    vocabularies.WORTH_A_QUICK_ONE = 0
    try:
        work()
    finally:
        vocabularies.WORTH_A_QUICK_ONE = usual


def wall(command: list[str]) -> tuple[float, float, int]:
    """Seconds by the clock, of the processors, and how many processes were seen at once."""
    start, spent, most = time.perf_counter(), of_children(), 1
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=quiet, stderr=quiet, env=installed()) as run:
        children = Path(f"/proc/{run.pid}/task/{run.pid}/children")
        while run.poll() is None:
            if children.exists():
                most = max(most, 1 + len(children.read_text().split()))
            time.sleep(0.02)
    return time.perf_counter() - start, of_children() - spent, most


@functools.cache
def installed() -> dict[str, str]:
    """The environment in which modules are compiled once, as those of an installation are."""
    folder = tempfile.mkdtemp(prefix="ftctl-bench-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": folder}


def of_children() -> float:
    """CPU seconds of the processes that were waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def peak(path: Path) -> float:
    """Megabytes that a validation without tokens held at most."""
    code = (
        "import resource, sys, pathlib;"
        "from orchestrator.datasets.checking.validation import validate;"
        "validate(pathlib.Path(sys.argv[1]), count_tokens=False);"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    command = [sys.executable, "-c", code, str(path)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout) / 1000


def cold(path: Path) -> float:
    command = [sys.executable, "-m", "orchestrator", "validate", str(path)]
    before = of_children()
    subprocess.run(command, capture_output=True, check=False, env=installed())
    return of_children() - before


def told(what: str, reached: float, bar: float | None, *, least: bool = True) -> None:
    """One bar: what was reached, what is asked for, and whether it is kept."""
    if bar is None:
        print(f"  {what:58}{reached:8.2f}", flush=True)
        return
    kept = reached >= bar if least else reached <= bar
    verdict = "kept" if kept else "NOT KEPT"
    print(f"  {what:58}{reached:8.2f}   asked {bar:g}   {verdict}", flush=True)


if __name__ == "__main__":
    main()

"""Kills servers while files are uploaded, whole and in parts, and looks at what is left.

    python -m tests.worker.upload_kills --kills 60 --seed 1

What was acknowledged must be there with every byte, what lies in the home must have a row that
names it, and the database must be sound.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import random
import sqlite3
import sys
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import openai

from tests.worker import servers
from tests.worker.kills import _wait
from tests.worker.servers import TOKEN, Worker, wait_for

_SENDERS = 4
_LONG_AGO = 0, 1_000_000_000


@dataclass
class Uploaded:
    """What was acknowledged: digests of files, and of parts by upload; what was found wrong."""

    kills: int = 0
    files: dict[str, str] = field(default_factory=dict)
    parts: dict[str, dict[str, bytes]] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    sent: set[str] = field(default_factory=set)
    resumed: int = 0
    unseen: int = 0
    wrong: list[str] = field(default_factory=list)

    def report(self) -> str:
        """Return the figures in one line."""
        return (
            f"{self.kills} kills, {len(self.files)} files acknowledged ({self.resumed} of them "
            f"completed after a kill), {self.unseen} whole but not acknowledged, {len(self.wrong)} wrong"
        )


def kill_uploads(folder: Path, *, kills: int, seed: int) -> Uploaded:
    """Kill a server ``kills`` times while it takes uploads, then look at its home."""
    chance, seen = random.Random(seed), Uploaded()
    while seen.kills < kills:
        with servers.running(folder) as worker:
            _look(worker, seen, chance)
            senders = [
                threading.Thread(target=_send, args=(worker, seen, chance.randrange(1 << 30)))
                for _ in range(_SENDERS)
            ]
            for sender in senders:
                sender.start()
            before = len(seen.files)
            wait_for(lambda: len(seen.files) > before)  # noqa: B023 - it is called at once
            _wait(chance.uniform(0, 0.5))
            worker.kill()
            seen.kills += 1
            for sender in senders:
                sender.join()
    with servers.running(folder) as worker:
        _look(worker, seen, chance)
        for upload_id in list(seen.parts):
            _complete(worker, seen, upload_id)
        home = worker.home
    for part in (home / "parts").iterdir():
        os.utime(part, _LONG_AGO)
    with servers.running(folder) as worker, contextlib.suppress(AssertionError):
        wait_for(lambda: not any((home / "parts").iterdir()), seconds=10)
    _look_into(home, seen)
    return seen


def _send(worker: Worker, seen: Uploaded, seed: int) -> None:
    """Upload until the server is gone."""
    chance = random.Random(seed)
    client = openai.OpenAI(base_url=worker.url, api_key=TOKEN, max_retries=0)
    with client, contextlib.suppress(openai.APIConnectionError):
        while True:
            content = chance.randbytes(chance.choice((10, 4_000, 300_000)))
            seen.sent.add(_digest(content))
            if chance.random() < 0.6:
                made = client.files.create(file=("a.jsonl", content), purpose="user_data")
                seen.files[made.id] = _digest(content)
            else:
                _send_parts(client, seen, content)


def _send_parts(client: openai.OpenAI, seen: Uploaded, content: bytes) -> None:
    upload_id = client.uploads.create(
        bytes=len(content), filename="a", mime_type="text/plain", purpose="user_data"
    ).id
    seen.sizes[upload_id], parts = len(content), seen.parts.setdefault(upload_id, {})
    step = len(content) // 3 + 1
    for start in range(0, len(content), step):
        piece = content[start : start + step]
        parts[client.uploads.parts.create(upload_id, data=piece).id] = piece
    made = client.uploads.complete(upload_id, part_ids=list(parts)).file
    assert made is not None
    seen.files[made.id] = _digest(content)
    del seen.parts[upload_id]


def _complete(worker: Worker, seen: Uploaded, upload_id: str) -> None:
    """Finish an upload that a kill interrupted, where all of its parts were acknowledged."""
    parts = seen.parts.pop(upload_id)
    if sum(map(len, parts.values())) < seen.sizes[upload_id]:
        worker.client.uploads.cancel(upload_id)
        return
    # Where the answer alone was lost, the upload has ended, and its file is one of the unseen.
    with contextlib.suppress(openai.BadRequestError):
        made: Any = worker.client.uploads.complete(upload_id, part_ids=list(parts)).file
        seen.files[made.id] = _digest(b"".join(parts.values()))
        seen.resumed += 1


def _look(worker: Worker, seen: Uploaded, chance: random.Random) -> None:
    """Compare the list with what was acknowledged, and the bytes of some files and of all strangers."""
    listed = {file.id for file in worker.client.files.list()}
    seen.wrong += [f"{one} is lost" for one in set(seen.files) - listed]
    known = listed & set(seen.files)
    strangers = listed - set(seen.files)
    for file_id in [*chance.sample(sorted(known), min(8, len(known))), *strangers]:
        digest = _digest(worker.client.files.content(file_id).read())
        if digest != seen.files.get(file_id, digest) or digest not in seen.sent:
            seen.wrong.append(f"{file_id} has other bytes")
    seen.unseen = len(strangers)


def _look_into(home: Path, seen: Uploaded) -> None:
    with contextlib.closing(sqlite3.connect(home / "worker.sqlite3")) as reader:
        if reader.execute("PRAGMA integrity_check").fetchall() != [("ok",)]:
            seen.wrong.append("the database is damaged")
        rows = dict(reader.execute("SELECT id, bytes FROM files").fetchall())
    lying = {file.name: file.stat().st_size for file in (home / "files").iterdir()}
    seen.wrong += [f"{one} lies there without a row" for one in set(lying) - set(rows)]
    seen.wrong += [f"{one} is not whole" for one in rows if lying.get(one) != rows[one]]
    for file_id, digest in seen.files.items():
        if _digest((home / "files" / file_id).read_bytes()) != digest:
            seen.wrong.append(f"{file_id} has other bytes")
    left = [*(home / "uploads").iterdir(), *(home / "parts").iterdir()]
    seen.wrong += [f"{one.name} is left of an upload" for one in left]


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def main() -> int:
    """Kill, print the figures, and return 1 where anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        seen = kill_uploads(Path(folder), kills=options.kills, seed=options.seed)
    sys.stdout.write(seen.report() + "\n" + "".join(f"{one}\n" for one in seen.wrong))
    return 1 if seen.wrong else 0


if __name__ == "__main__":
    sys.exit(main())

"""Kill `compare` at its named points, and run it again: no answer is paid for twice.

python -m tests.reliability.comparing
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from orchestrator.domain import failpoints
from tests.factories import chat_rows
from tests.reliability import world
from tests.reliability.frame import machine, told
from tests.reliability.trials import KILLED

ROWS = 30
AT_ONCE = 8
# Points that a comparison passes once or twice.
RARE = ("compare.reserved", "compare.settled")
COUNTED = "SELECT coalesce(sum(counted), 0) FROM spendings WHERE purpose = 'evaluation'"
# Micro-dollars of every call, at the dated prices of the base model and of the tuned one.
PRICED = """
SELECT (CASE WHEN min(arm) = 'tuned' THEN 2 ELSE 1 END)
       * (0.4 * min(prompt_tokens - cached_tokens) + 0.1 * min(cached_tokens)
          + 1.6 * min(completion_tokens))
FROM comparison_answers JOIN answers ON key = answer_key GROUP BY key
"""
LEFT_OPEN = "SELECT count(*) FROM spendings WHERE state = 'reserved' AND purpose = 'evaluation'"


def main() -> int:
    started = time.monotonic()
    turns = (7,) if "--quick" in sys.argv else (1, 7, 20)
    found: Counter[str] = Counter()
    problems = []
    with world.warm() as template:
        for point in failpoints.COMPARE:
            for nth in (1,) if point in RARE else turns:
                asked, wanted, kills, code, unfunded = one(f"{point}:{nth}", template)
                found.update(trials=1, kills=kills, asked=asked, wanted=wanted)
                # What was under way when the process died is asked again, and nothing else is.
                if not wanted <= asked <= wanted + kills * AT_ONCE or code not in {0, 1, 10}:
                    problems.append(f"{point}:{nth}: asked {asked} for {wanted}, exit {code}")
                if unfunded:
                    problems.append(f"{point}:{nth}: {unfunded}")
    seconds = round(time.monotonic() - started, 1)
    passed = not problems and found["kills"] > 0
    return told(
        {"passed": passed, **found, "problems": problems, "seconds": seconds, "machine": machine()}
    )


def one(failpoint: str, template: Path) -> tuple[int, int, int, int, str]:
    """Calls the host saw, calls a whole comparison needs, kills, exit code, money not counted."""
    with world.a_host() as host, world.an_installation(host, template=template) as ours:
        ours.run(*world.submission(ours))
        host.control("advance", looks=10)
        ours.run("sync")
        job = ours.rows("SELECT id FROM jobs")[0][0]
        test = ours.home / "test.jsonl"
        rows = [json.dumps(row) for row in chat_rows(ROWS, "other")]
        test.write_text("\n".join(rows) + "\n")
        arguments = ["compare", job, "--test", test, "--json"]
        kills = int(ours.run(*arguments, failpoint=failpoint) == KILLED)
        between = host.control("counts").get("chat", 0)
        reserved = ours.rows(COUNTED)[0][0]
        code = ours.run(*arguments)
        counts: dict[str, Any] = host.control("counts")
        wanted = ours.rows("SELECT count(*) FROM answers")[0][0]
        asked = counts.get("chat", 0)
        paid = sorted(row[0] for row in ours.rows(PRICED))
        # What was asked again was paid twice; it cost at least as much as the cheapest calls.
        least = sum(paid) + sum(paid[: asked - wanted])
        counted, left = ours.rows(COUNTED)[0][0], ours.rows(LEFT_OPEN)[0][0]
        unfunded = ""
        if reserved < sum(paid[:between]) - 1:
            unfunded = f"killed with {between} calls out and {reserved} micro-dollars reserved"
        elif counted < least - 1 or left:
            unfunded = f"{least} micro-dollars spent, {counted} counted, {left} left open"
        return asked, wanted, kills, code, unfunded


if __name__ == "__main__":
    sys.exit(main())

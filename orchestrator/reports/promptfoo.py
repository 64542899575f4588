"""Rows of a comparison in the shape of promptfoo's results file, for viewers that read it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from orchestrator.reports.words import harmless

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def to_promptfoo(comparison: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    """One result for each row and arm, version 3.

    Args:
        comparison: as `compare.schema.json` describes it.
        rows: as `ftctl rows --json` prints them.
    """
    models = {arm["name"]: arm["model"] for arm in comparison["arms"]}
    results = [
        _result(place, row, name, models[name])
        for place, row in enumerate(rows)
        for name in row["answers"]
    ]
    good = sum(result["success"] for result in results)
    plain = {
        "evalId": comparison["id"],
        "results": {
            "version": 3,
            "timestamp": comparison["created_at"],
            "prompts": [{"raw": name, "label": name, "provider": models[name]} for name in models],
            "results": results,
            "stats": {"successes": good, "failures": len(results) - good, "errors": 0},
        },
        "config": {"description": f"ftctl compare {comparison['id']}, {comparison['metric']}"},
    }
    return json.dumps(plain, ensure_ascii=False, indent=1) + "\n"


def _result(place: int, row: Mapping[str, Any], name: str, model: str) -> dict[str, Any]:
    answer = row["answers"][name]
    score = answer["score"]
    return {
        "testIdx": place,
        "promptIdx": list(row["answers"]).index(name),
        "vars": {
            "row": row["row"],
            "asked": harmless(row["asked"]),
            "reference": harmless(row["reference"]),
        },
        "prompt": {"raw": harmless(row["asked"]), "label": name},
        "provider": {"id": model, "label": name},
        "response": {"output": harmless(answer["text"] or "")},
        "success": score == 1,
        "score": score,
        "namedScores": {},
    }

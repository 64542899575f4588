"""What is told of a row that is good data of another kind."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from orchestrator.datasets.dialects.detecting import detect
from orchestrator.datasets.dialects.dialects import PREFERENCES
from orchestrator.datasets.files.records_of import CONTAINERS, is_rows
from orchestrator.datasets.findings.finding import Flaw
from orchestrator.domain.jobs.job import Method

if TYPE_CHECKING:
    from collections.abc import Mapping


def foreign_dialect(row: Mapping[str, Any], method: Method) -> Flaw | None:
    """The one finding for a row that is good data of another kind; None for our own."""
    dialect = detect(row)
    if dialect == _OWN[method] or (dialect in _NEARLY_OURS and method is not Method.DPO):
        return None
    if dialect in _METHODS:
        return Flaw(
            "wrong-method", "", {"found": _METHODS[dialect].value, "expected": method.value}
        )
    if dialect is not None:
        fields = {"dialect": dialect, "expected": _OWN[method], "mend": _mend(dialect, method)}
        return Flaw("foreign-dialect", "", fields)
    if method is Method.DPO or not row or "messages" in row:
        return None
    if difflib.get_close_matches("messages", row, n=1):
        return None
    keys = ", ".join(list(map(str, row))[:8])
    return Flaw("unknown-shape", "", {"keys": keys, "mend": _naming(row, method)})


_OWN = {
    Method.SUPERVISED: "openai.chat",
    Method.DPO: "openai.dpo",
    Method.REINFORCEMENT: "openai.rft",
}


def _naming(row: Mapping[str, Any], method: Method) -> str:
    """What can be done about a row nobody knows the shape of."""
    if method is Method.REINFORCEMENT:
        return _PROMPT
    for key in CONTAINERS:
        if is_rows(row.get(key)):
            return f"ftctl convert FILE -o OUT.jsonl writes each row in {key} on a line."
    return (
        'Name what is asked and answered: ftctl convert FILE --user "{KEY}" --assistant "{KEY}" '
        "-o OUT.jsonl."
    )


_PROMPT = "Write the prompt as messages, and what the grader needs beside them."


def _mend(dialect: str, method: Method) -> str:
    """What can be done about a row of another dialect; only what works."""
    if dialect in _NOT_CONVERTIBLE:
        return f"Nothing converts it by itself: {_NOT_CONVERTIBLE[dialect]}."
    if method is Method.REINFORCEMENT:
        return _PROMPT
    if method is Method.DPO:
        if dialect in PREFERENCES:
            return f"ftctl convert FILE --from {dialect} --method dpo -o OUT.jsonl."
        return "Write pairs: the row holds no rejected answer."
    lossy = " --allow-loss" if dialect in PREFERENCES else ""
    return f"ftctl convert FILE --from {dialect}{lossy} -o OUT.jsonl."


_MAPPED = 'ftctl convert FILE --user "{KEY}" --assistant "{KEY}" -o OUT.jsonl names what is asked'
_NOT_CONVERTIBLE = {
    "text": _MAPPED,
    "text.label": _MAPPED,
    "trl.stepwise": "labels of single steps have no place in such a row",
    "openai.evals_item": "its item has to become messages, and keys beside them",
    "openai.batch": "a request has no answer to learn",
    "openai.answer": "an answer alone does not say what was asked",
    "messenger": "nothing says whose answers are to be learned",
    "oasst.message": "the export by trees has whole conversations",
    "axolotl.segments": "its texts hold a chat template's own marks",
}
_METHODS = {
    "openai.chat": Method.SUPERVISED,
    "openai.dpo": Method.DPO,
    "openai.rft": Method.REINFORCEMENT,
}
# The schema names their faults better than one word for the whole row would.
_NEARLY_OURS = frozenset({"openai.chat", "openai.chat.legacy_functions", "openai.rft", "trl.tools"})

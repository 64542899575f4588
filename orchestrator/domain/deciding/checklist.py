"""Criteria, findings and the verdict: the first rule that matches decides, and says why."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date


STAGES = ("plan", "after_run", "migrate", "switch")


class Status(StrEnum):
    """What is found about a criterion."""

    PASS = "pass"  # noqa: S105  a word of the report, no secret
    FAIL = "fail"
    UNKNOWN = "unknown"  #: not measured, or the evidence does not decide; never the same as fail
    NOT_APPLICABLE = "n/a"


class Kind(StrEnum):
    """What a criterion can do to the verdict."""

    BLOCKER = "blocker"  #: fails: NO_GO; unknown: more evidence is needed
    GATE = "gate"  #: the same, if it is a required one
    CONDITION = "condition"  #: fails: GO only with the named mend
    EVIDENCE = "evidence"  #: shown, and does not decide
    INFO = "info"  #: shown, and does not decide


class Verdict(StrEnum):
    """What the report says."""

    GO = "GO"
    GO_CONDITIONAL = "GO_CONDITIONAL"
    NO_GO = "NO_GO"
    GATHER_EVIDENCE = "GATHER_EVIDENCE"


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """A question of the checklist.

    Attributes:
        by: auto when ftctl measures it, human when a person answers.
        rule: when it passes, in words.
        ask: the question to a person.
        next: what to type when it is not met; `{job}` stands for the job.
    """

    id: str
    group: str
    kind: Kind
    by: str
    title: str
    rule: str
    next: str
    ask: str = ""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What is known about a criterion.

    Attributes:
        evidence: the measured value in words, with its uncertainty; empty when there is none.
        source: where it comes from: a comparison, a file, a person.
    """

    criterion: Criterion
    status: Status
    evidence: str = ""
    source: str = ""


class Measured(NamedTuple):
    """What an automatic check found."""

    status: Status
    evidence: str
    source: str = ""


@dataclass(frozen=True, kw_only=True)
class Checklist:
    """The criteria of one stage, the thresholds, and the gates one of which must pass.

    Attributes:
        known: ids of the criteria of every stage.
    """

    criteria: Sequence[Criterion]
    policy: Mapping[str, float]
    required_gates: Sequence[Sequence[str]]
    numbers: Mapping[str, str]
    digest: str = ""
    stage: str = "after_run"
    known: frozenset[str] = frozenset()

    @classmethod
    def from_json(
        cls, plain: Mapping[str, Any], *, stage: str = "after_run", digest: str = ""
    ) -> Checklist:
        """Read what `schemas/checklist.schema.json` describes."""
        criteria = [
            Criterion(
                id=row["id"],
                group=row["group"],
                kind=Kind(row["kind"]),
                by=row["by"],
                title=row["title"],
                rule=row["rule"],
                next=row["next"],
                ask=row.get("ask", ""),
            )
            for row in plain["criteria"]
            if stage in row["stages"]
        ]
        return cls(
            criteria=criteria,
            policy=plain["policy"],
            required_gates=plain["required_gates"],
            numbers={row["name"]: row["ask"] for row in plain["numbers"]},
            digest=digest,
            stage=stage,
            known=frozenset(row["id"] for row in plain["criteria"]),
        )

    def with_policy(self, changed: Mapping[str, float]) -> Checklist:
        """The same with other thresholds."""
        return replace(self, policy={**self.policy, **changed})


class Given(NamedTuple):
    """A person's answer to one criterion."""

    status: Status
    note: str = ""
    by: str = ""
    date: date | None = None

    @property
    def signature(self) -> str:
        """Who answered, and when; empty when the file's own name and date stand for it."""
        return f"{self.by} {self.date.isoformat() if self.date else ''}".strip()


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What a person answered, with name and date.

    Attributes:
        given: by the id of the criterion.
        numbers: by name, as the checklist asks for them.
        policy: thresholds that the person sets otherwise.
    """

    name: str = ""
    date: date | None = None
    given: Mapping[str, Given] = field(default_factory=dict)
    numbers: Mapping[str, float] = field(default_factory=dict)
    policy: Mapping[str, float] = field(default_factory=dict)

    @property
    def signature(self) -> str:
        """Who answered, and when."""
        return f"{self.name} {self.date.isoformat() if self.date else ''}".strip()


class Judgement(NamedTuple):
    """The verdict, and the criteria that decided it."""

    verdict: Verdict
    because: list[str]


def find(checklist: Checklist, measured: Mapping[str, Measured], answers: Answers) -> list[Finding]:
    """A finding for every criterion: measured, answered by a person, or unknown."""
    return [_finding(criterion, measured, answers) for criterion in checklist.criteria]


def judge(findings: Sequence[Finding], required_gates: Sequence[Sequence[str]]) -> Judgement:
    """The verdict; the first rule that matches wins.

    NO_GO: a blocker or a required gate fails. GATHER_EVIDENCE: one of them is unknown.
    GO_CONDITIONAL: a condition fails. GO: otherwise.
    """
    by_id = {finding.criterion.id: finding for finding in findings}
    blockers = [f for f in findings if f.criterion.kind is Kind.BLOCKER]
    gates = [_gate([by_id[i] for i in names if i in by_id]) for names in required_gates]
    decisive = blockers + [gate for gate in gates if gate is not None]
    conditions = [f for f in findings if f.criterion.kind is Kind.CONDITION]
    rules = [
        (Verdict.NO_GO, decisive, Status.FAIL),
        (Verdict.GATHER_EVIDENCE, decisive, Status.UNKNOWN),
        (Verdict.GO_CONDITIONAL, conditions, Status.FAIL),
    ]
    for verdict, among, status in rules:
        matched = [f.criterion.id for f in among if f.status is status]
        if matched:
            return Judgement(verdict, matched)
    passed = [gate.criterion.id for gate in gates if gate is not None]
    return Judgement(Verdict.GO, passed)


def _finding(criterion: Criterion, measured: Mapping[str, Measured], answers: Answers) -> Finding:
    given = answers.given.get(criterion.id)
    if criterion.id in measured:
        status, evidence, source = measured[criterion.id]
    else:
        status, evidence, source = Status.UNKNOWN, "", ""
    # A person fills what was not measured; a measurement is not talked away.
    if given is not None and status is Status.UNKNOWN and given.status is not Status.UNKNOWN:
        status, evidence = given.status, given.note
        source = given.signature or answers.signature
    return Finding(criterion=criterion, status=status, evidence=evidence, source=source)


def _gate(alternatives: Sequence[Finding]) -> Finding | None:
    """Of gates that stand for each other the one that speaks: passed, else open, else failed."""
    if not alternatives:
        return None
    for status in (Status.PASS, Status.UNKNOWN, Status.FAIL):
        for finding in alternatives:
            if finding.status is status:
                return finding
    return None

"""A spec file, from its bytes to its values: read, checked, built."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.specs.building import build
from orchestrator.specs.checking import schema_mistakes
from orchestrator.specs.document import Document, SpecInvalid
from orchestrator.specs.reading import read_document
from orchestrator.specs.together import mistakes_together

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.domain.jobs.spec import Spec


def read_spec(path: Path) -> tuple[Document, Spec]:
    """A spec file, read and checked as far as no data and no provider is needed.

    Raises:
        SpecInvalid: all mistakes at once.
        UsageError: there is no such file, or it cannot be a spec.
    """
    document = read_document(path)
    mistakes = [*document.mistakes]
    if document.value is not None:
        told = {mistake.steps for mistake in mistakes}
        mistakes += [each for each in schema_mistakes(document) if each.steps not in told]
    if not mistakes:
        mistakes += mistakes_together(document)
    if mistakes:
        raise SpecInvalid(path, sorted(mistakes, key=lambda m: m.place or (0, 0)))
    return document, build(document)

"""The model card of a version: what a person reads before using it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from orchestrator.domain.adapters.manifest import Manifest

_TEMPLATE_MARK = "[More Information Needed]"
_MOST_TEXT = 64 * 1024


def card(manifest: Manifest, *, own: str = "") -> str:
    """Markdown with the front matter that the Hub reads.

    Args:
        manifest: of the version; its files need not be known yet.
        own: the card that the adapter came with; a template that nobody filled in is left out.
    """
    parts = [*_front(manifest), f"# {manifest.task} {manifest.version}", "", *_facts(manifest)]
    if manifest.metrics:
        parts += ["", "## Measured", "", *_measured(manifest.metrics)]
    parts += ["", "## Use", "", *_use(manifest)]
    if own.strip() and _TEMPLATE_MARK not in own:
        parts += ["", "## From its maker", "", _without_front(own)[:_MOST_TEXT].strip()]
    return "\n".join(parts) + "\n"


def _front(manifest: Manifest) -> Iterator[str]:
    yield "---"
    yield f"base_model: {_quoted(manifest.base_model.get('name'))}"
    yield "library_name: peft"
    yield "pipeline_tag: text-generation"
    if manifest.licence:
        yield f"license: {_quoted(manifest.licence)}"
    yield "tags: [lora, ftctl]"
    yield "---"


def _facts(manifest: Manifest) -> Iterator[str]:
    yield f"A LoRA adapter over {_code(manifest.base_model.get('name'))}."
    yield ""
    yield "| | |"
    yield "|---|---|"
    for name, value in _rows(manifest):
        if value not in {None, ""}:
            yield f"| {name} | {_code(value)} |"


def _rows(manifest: Manifest) -> Iterator[tuple[str, Any]]:
    yield "base revision", manifest.base_model.get("revision")
    yield "licence", manifest.licence or "not stated"
    yield "method", manifest.method
    for name, value in manifest.recipe.items():
        yield name, value if isinstance(value, str) else json.dumps(value)
    for split, digest in manifest.dataset.items():
        yield f"{split} data (SHA-256)", digest
    for name, value in (manifest.job or {}).items():
        yield f"job: {name}", value
    yield "weights and configuration (SHA-256)", manifest.digest
    yield "registered", f"{manifest.created_at.isoformat()} by {manifest.by}"


def _measured(metrics: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"Comparison {_code(metrics['comparison'])}: **{metrics['verdict']}** by"
        f" {_code(metrics['metric'])} on the test set {_code(str(metrics['test'])[:12])}."
    )
    yield ""
    yield f"| arm | model | {metrics['metric']} | rows |"
    yield "|---|---|---|---|"
    for arm in metrics["arms"]:
        value = arm["metrics"].get(metrics["metric"])
        shown = "" if value is None else f"{value:.3f}"
        yield f"| {_plain(arm['name'])} | {_code(arm['model'])} | {shown} | {arm['n']} |"


def _use(manifest: Manifest) -> Iterator[str]:
    name = f"{manifest.task}@{manifest.version}"
    yield f"Ask a worker that serves this repository for the model `{name}`, or load the folder"
    yield "with `peft.PeftModel.from_pretrained(base_model, folder)`."
    yield f"`ftctl adapters verify {name}` tells whether it still answers as it did."


def _without_front(text: str) -> str:
    if not text.startswith("---\n"):
        return text
    _, end, rest = text[4:].partition("\n---\n")
    return rest if end else text


def _code(value: object) -> str:
    return f"`{_plain(value)}`"


def _plain(value: object) -> str:
    """Nothing that could break a table, a line or the code around it."""
    return " ".join(str(value).split()).replace("|", "/").replace("`", "'")


def _quoted(value: object) -> str:
    """A YAML string; JSON's are."""
    return json.dumps(str(value))

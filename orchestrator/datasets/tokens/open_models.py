"""The folder of an open model: its own tokenizer, chat template and context length."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import json
import re
from datetime import UTC, datetime
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET

from orchestrator.datasets.extras import has_package, package
from orchestrator.datasets.records import ROLES, Preference
from orchestrator.datasets.tokens.counting import TextCounter
from orchestrator.domain.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from msgspec import UnsetType

    from orchestrator.datasets.records import Answer, Message, Row

_TOKENIZER = "tokenizer.json"
_FALLBACK_TEMPLATES = ("chat_template.jinja", "chat_template.json")


def model_folder(name: str | None) -> Path | None:
    """The folder with a model's tokenizer: named itself, or known here by that name.

    Known are the models that the worker carries, where it is installed, and those of the Hub that
    were fetched to this machine. Nothing is fetched.

    Raises:
        UsageError: a folder holds none, or there is no such folder where a path was written.
    """
    if name is None:
        return None
    folder = Path(name)
    if (folder / _TOKENIZER).is_file():
        return folder
    if folder.is_dir() or name.startswith((".", "/", "~")):
        what = f"holds no {_TOKENIZER}" if folder.is_dir() else "is not there"
        raise UsageError(
            f"The folder {name} of the model {what}.",
            hint="name the folder that the model was saved in, with its tokenizer",
        )
    if not (has_package("tokenizers") and has_package("jinja2")):
        return None
    return _fetched(name) if "/" in name else _carried(name)


def _carried(name: str) -> Path | None:
    """Of a model in the worker's package, which need not be there and is not imported."""
    worker = importlib.util.find_spec("ftctl_worker") if _PLAIN.fullmatch(name) else None
    places = (worker.submodule_search_locations or ()) if worker else ()
    folders = (Path(place) / "base_models" / name for place in places)
    return next((folder for folder in folders if (folder / _TOKENIZER).is_file()), None)


_PLAIN = re.compile(r"[a-z0-9]+")


def _fetched(name: str) -> Path | None:
    """Of a model in the Hub's cache, the commit that its branch, or a revision, stood for."""
    repository, _, revision = name.partition("@")
    cache = importlib.import_module("huggingface_hub")
    try:
        found = cache.try_to_load_from_cache(repository, _TOKENIZER, revision=revision or None)
    except ValueError:  # No name that the Hub could give.
        return None
    return Path(found).parent if isinstance(found, str) else None


class OpenModel:
    """A folder as Hugging Face writes it. Nothing of it is executed.

    Attributes:
        context: tokens of a row that are read at most: of the model's context, or what its
            defaults for training say; None when the folder tells neither.
        eos: the text that ends an answer; empty when there is none.
    """

    def __init__(self, folder: Path) -> None:
        """Read the folder.

        Raises:
            ConfigurationError: a package is missing; the hint installs it.
        """
        self._config = _json(folder / "tokenizer_config.json")
        shape = _json(folder / "config.json")
        reads = shape.get("max_position_embeddings") or shape.get("n_positions")
        trains = _json(folder / "training_defaults.json").get("max_length")
        said = [each for each in (reads, trains) if isinstance(each, int)]
        self.context: int | None = min(said, default=None)
        self.eos = _token(self._config.get("eos_token"))
        self._template = _template(folder, self._config)
        self._encode = _encoder(folder / _TOKENIZER)

    def count(self, text: str) -> int:
        """The tokens of a text; special tokens in it count as one each."""
        return self._encode(text)

    def render(
        self, messages: Sequence[Mapping[str, Any]], tools: Any = None, *, prompt: bool = False
    ) -> str:
        """The text the model reads for messages, as its chat template writes it.

        Args:
            messages: in the shape of OpenAI.
            tools: the tools of the row.
            prompt: end where the assistant begins to speak.

        Raises:
            UsageError: the folder has no chat template, or the template refuses the messages.
        """
        if self._template is None:
            raise UsageError("The model has no chat template.", hint="choose a chat model")
        compiled = _compiled(self._template)
        special = {
            name: _token(value)
            for name, value in self._config.items()
            if name.endswith("_token") and value
        }
        try:
            text: str = compiled.render(
                messages=[_plain(message) for message in messages],
                tools=tools,
                add_generation_prompt=prompt,
                **special,
            )
        except package("jinja2", "templates").TemplateError as error:
            raise UsageError(f"The chat template refuses the row: {error}.") from error
        return text


@functools.cache
def open_model(folder: Path) -> OpenModel:
    """The model of a folder, read once."""
    return OpenModel(folder)


class OpenCounter(TextCounter):
    """Counts as an open model does: its chat template writes the row, its tokenizer counts."""

    def __init__(self, folder: Path, name: str) -> None:
        """Read the folder of the model that goes by a name."""
        self._model = model = open_model(folder)
        super().__init__(lambda texts: list(accumulate(map(model.count, texts), initial=0)), name)
        self.context = model.context

    def count_rows(self, rows: Sequence[Row]) -> Sequence[int]:
        """The tokens of each row as the chat template writes it."""
        return [
            self._count([*row.input.messages, *row.preferred_output], row.input.tools)
            if isinstance(row, Preference)
            else self._count(row.messages, row.tools)
            for row in rows
        ]

    def count_others(self, rows: Sequence[Preference]) -> Sequence[int]:
        """What the template writes for the other answers, beyond the prompts they share."""
        return [
            self._count([*row.input.messages, *row.non_preferred_output], row.input.tools)
            - self._count(row.input.messages, row.input.tools)
            for row in rows
        ]

    def _count(self, messages: Sequence[Message | Answer], tools: msgspec.Raw | UnsetType) -> int:
        plain = [{"role": ROLES[type(each)], **msgspec.to_builtins(each)} for each in messages]
        listed = None if tools is UNSET else msgspec.json.decode(tools)
        return self._model.count(self._model.render(plain, listed))


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    value = json.loads(path.read_text(encoding="utf-8"))
    return value if isinstance(value, dict) else {}


def _token(value: object) -> str:
    return str(value.get("content", "")) if isinstance(value, dict) else str(value or "")


def _template(folder: Path, config: Mapping[str, Any]) -> str | None:
    path = folder / _FALLBACK_TEMPLATES[0]
    if path.is_file():
        return path.read_text(encoding="utf-8")
    named = _json(folder / _FALLBACK_TEMPLATES[1]).get("chat_template")
    found = named or config.get("chat_template")
    if isinstance(found, list):
        by_name = {each["name"]: each["template"] for each in found}
        found = by_name.get("default")
    return found if isinstance(found, str) else None


def _encoder(path: Path) -> Callable[[str], int]:
    tokenizer = package("tokenizers", "templates").Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


@functools.cache
def _compiled(template: str) -> Any:
    """As transformers compiles it: a sandbox in which a template can change nothing."""
    jinja2 = package("jinja2", "templates")
    sandbox = package("jinja2.sandbox", "templates")

    def refuse(message: str) -> None:
        raise jinja2.TemplateError(message)

    def as_json(value: Any, indent: int | None = None, **_: Any) -> str:
        return json.dumps(value, ensure_ascii=False, indent=indent)

    environment = sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = as_json
    environment.globals["raise_exception"] = refuse
    environment.globals["strftime_now"] = lambda form: datetime(2026, 1, 1, tzinfo=UTC).strftime(
        form
    )
    return environment.from_string(template)


_TEMPLATE_ROLES = {"developer": "system", "function": "tool"}


def _plain(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message as templates know them: text alone, arguments as objects, no weight."""
    plain = {key: value for key, value in message.items() if key != "weight"}
    plain["role"] = _TEMPLATE_ROLES.get(plain["role"], plain["role"])
    content = plain.get("content")
    if isinstance(content, list):
        plain["content"] = "".join(str(part.get("text", "")) for part in content)
    elif content is None:
        plain["content"] = ""
    if calls := plain.get("tool_calls"):
        plain["tool_calls"] = [_call(call) for call in calls]
    return plain


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    function = dict(call["function"])
    try:
        function["arguments"] = json.loads(function["arguments"])
    except (ValueError, TypeError, RecursionError):
        pass
    return {**call, "function": function}

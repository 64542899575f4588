"""`[[notify]]` of ftctl.toml, checked: who wants to hear of what."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

from orchestrator.domain.errors import ConfigurationError
from orchestrator.domain.jobs.notification import TOPICS, USUAL, Subscriber
from orchestrator.domain.profile import is_loopback

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEYS = frozenset({
    "name", "on", "command", "url", "secret_env", "env", "timeout", "attempts", "allow_private",
})  # fmt: skip
_A_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LONGEST_TRY = 60.0
_HINT = 'command = ["program", "argument"], or url = "https://..."'


def subscribers(tables: Any) -> list[Subscriber]:
    """The entries, in order.

    Raises:
        ConfigurationError: an entry makes no sense; it names the entry and the key.
    """
    if not isinstance(tables, list) or not all(isinstance(each, dict) for each in tables):
        raise ConfigurationError("notify in ftctl.toml is no list of tables.", hint="[[notify]]")
    found = [_subscriber(table, number) for number, table in enumerate(tables, 1)]
    names = [each.name for each in found]
    for name in names:
        if names.count(name) > 1:
            raise ConfigurationError(
                f"Two [[notify]] entries are called '{name}'.", hint='name = "..." in each'
            )
    return found


def _subscriber(table: Mapping[str, Any], number: int) -> Subscriber:
    where = f"[[notify]] entry {number}"
    if unknown := sorted(set(table) - _KEYS):
        raise ConfigurationError(
            f"{where} has a key '{unknown[0]}', which means nothing.",
            hint=f"keys: {', '.join(sorted(_KEYS))}",
        )
    command, url = _words(table, "command", where), table.get("url")
    if bool(command) == bool(url):
        raise ConfigurationError(f"{where} must have either a command or a url.", hint=_HINT)
    host = _checked(url, where).hostname if url else None
    return Subscriber(
        name=_name(table.get("name") or host or command[0].rpartition("/")[2], where),
        on=_topics(table, where),
        command=command,
        url=url,
        secret=_text(table, "secret_env", where),
        environment=_words(table, "env", where),
        timeout=_within(table, "timeout", where, 10.0, _LONGEST_TRY),
        attempts=int(_within(table, "attempts", where, 8, 100)),
        allow_private=_flag(table, "allow_private", where),
    )


def _topics(table: Mapping[str, Any], where: str) -> frozenset[str]:
    topics = _words(table, "on", where) if "on" in table else USUAL
    if unknown := sorted(set(topics) - set(TOPICS)):
        raise ConfigurationError(
            f"{where} waits for '{unknown[0]}', which never happens.",
            hint=f"on takes {', '.join(TOPICS)}",
        )
    if not topics:
        raise ConfigurationError(f"{where} waits for nothing.", hint='on = ["succeeded"]')
    return frozenset(topics)


def _checked(url: Any, where: str) -> SplitResult:
    if not isinstance(url, str) or not url.isascii() or not url.isprintable() or " " in url:
        raise ConfigurationError(f"The url of {where} is not a URL.", hint=_HINT)
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigurationError(f"The url of {where} is not a URL: {error}.") from error
    if parts.scheme not in {"http", "https"} or not host:
        raise ConfigurationError(f"The url of {where} must start with https:// and name a host.")
    if parts.username or parts.password:
        raise ConfigurationError(f"The url of {where} holds a user name or password.")
    if parts.scheme == "http" and not is_loopback(host):
        raise ConfigurationError(
            f"The url of {where} would send unencrypted to {host}.", hint=f"https://{host}"
        )
    return parts


def _name(name: Any, where: str) -> str:
    if not isinstance(name, str) or not _A_NAME.fullmatch(name):
        raise ConfigurationError(
            f"{where} needs a name of letters, digits, '.', '_' and '-'.", hint='name = "ops"'
        )
    return name


def _words(table: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(each, str) and each for each in value):
        raise ConfigurationError(f"{key} of {where} must be a list of texts.", hint=f'{key} = [""]')
    return tuple(value)


def _text(table: Mapping[str, Any], key: str, where: str) -> str | None:
    value = table.get(key)
    if value is not None and not (isinstance(value, str) and value):
        raise ConfigurationError(f"{key} of {where} must be a text.")
    return value


def _flag(table: Mapping[str, Any], key: str, where: str) -> bool:
    value = table.get(key, False)
    if not isinstance(value, bool):
        raise ConfigurationError(f"{key} of {where} must be true or false.")
    return value


def _within(table: Mapping[str, Any], key: str, where: str, default: float, most: float) -> float:
    value = table.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= most:
        raise ConfigurationError(f"{key} of {where} must be a number from 1 to {most:g}.")
    return float(value)

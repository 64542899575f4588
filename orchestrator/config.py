"""The one module that reads the environment and ftctl.toml.

Order, first found wins: the environment, the `ftctl.toml` that FTCTL_CONFIG names or that lies in the
working folder or in the platform's config folder, the built-in profiles.
"""

from __future__ import annotations

import os
import stat
import sys
import tomllib
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.domain.errors import ConfigurationError
from orchestrator.domain.money.spending import Budgets
from orchestrator.domain.money.usd import micros
from orchestrator.domain.profile import Profile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestrator.domain.jobs.notification import Subscriber

_BUILT_IN: Mapping[str, Mapping[str, Any]] = {
    "openai": {
        "kind": "openai",
        "api_key_env": "OPENAI_API_KEY",
        "webhook_secret_env": "OPENAI_WEBHOOK_SECRET",
    },
    "azure": {"kind": "azure", "api_key_env": "AZURE_OPENAI_API_KEY"},
    "local": {"kind": "peft", "embedded": True},
}
_PROFILE_KEYS = frozenset(
    {
        "kind", "base_url", "api_key_env", "timeout", "deployments", "embedded", "allow_http",
        "webhook_secret_env", "usd_per_hour", "budget_usd_per_month",
    }
)  # fmt: skip
_URL_ENV = {"openai": "OPENAI_BASE_URL", "azure": "AZURE_OPENAI_ENDPOINT"}


@dataclass(frozen=True, kw_only=True)
class AdaptersSettings:
    """Where adapters are kept.

    Attributes:
        repo: an absolute path, or `hf://org/name`.
        endpoint: of the Hub; None for the public one.
        token: for the Hub; None for what `hf auth login` left.
    """

    repo: str
    endpoint: str | None = None
    token: str | None = field(default=None, repr=False)

    @property
    def folder(self) -> Path | None:
        """The folder, where it is one."""
        return None if self.repo.startswith("hf://") else Path(self.repo)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything the outside decides.

    Attributes:
        home: database, dataset store and caches (FTCTL_HOME).
        config_file: the ftctl.toml that was read, if any.
        database_url: SQLAlchemy URL (FTCTL_DATABASE_URL); SQLite in `home` by default.
        debug: show tracebacks (FTCTL_DEBUG=1).
        failpoint: where a test wants the process to die (FTCTL_FAILPOINT, with FTCTL_TEST=1 only).
        tables: the parsed ftctl.toml.
        environment: a snapshot of the process environment, from which keys are resolved.
    """

    home: Path
    config_file: Path | None
    database_url: str
    debug: bool
    tables: Mapping[str, Any]
    environment: Mapping[str, str] = field(repr=False)
    failpoint: str | None = None

    def profile_names(self) -> list[str]:
        """Built-in and own profiles, sorted."""
        return sorted({*_BUILT_IN, *self._own_profiles()})

    def profile(self, name: str) -> Profile:
        """The profile of that name with its key resolved (None when the variable is not set).

        Raises:
            ConfigurationError: no such profile, or a table that makes no sense.
        """
        own = self._own_profiles().get(name)
        if own is None and name not in _BUILT_IN:
            known = ", ".join(self.profile_names())
            raise ConfigurationError(
                f"There is no provider profile '{name}'; known are {known}.",
                hint=f'add [providers.{name}] with kind = "openai", "azure" or "peft" to ftctl.toml',
            )
        return self._resolved(name, self._merged(name))

    def _merged(self, name: str) -> dict[str, Any]:
        """A profile's own table over the built-in one of that name."""
        own = self._own_profiles().get(name, {})
        table = {**_BUILT_IN.get(name, {}), **own}
        if "base_url" in own and table.get("embedded"):
            if own.get("embedded"):
                raise ConfigurationError(
                    f"[providers.{name}] in {self.config_file} has a base_url and embedded = true:"
                    " the embedded worker chooses its own address.",
                    hint="leave one of the two away",
                )
            # A worker elsewhere takes the place of the embedded one.
            table["embedded"] = False
        return table

    def table(self, name: str) -> Mapping[str, Any]:
        """A top-level table of ftctl.toml; empty when it is not there."""
        found = self.tables.get(name, {})
        if not isinstance(found, dict):
            raise ConfigurationError(f"[{name}] in {self.config_file} is not a table.")
        return found

    def settle_time(self, default: timedelta) -> timedelta:
        """How long a created job may take to appear in its provider's list.

        Raises:
            ConfigurationError: it is no number of seconds.
        """
        found = self.table("sync").get("settle_seconds", default.total_seconds())
        if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found < 1e7:
            raise ConfigurationError(
                f"settle_seconds under [sync] in {self.config_file} is {found!r}, which is no number"
                " of seconds.",
                hint=f"settle_seconds = {default.total_seconds():.0f}",
            )
        return timedelta(seconds=found)

    def budgets(self) -> Budgets:
        """What may be spent in a month.

        Raises:
            ConfigurationError: an amount is not one.
        """
        overall = self.table("budget")
        unknown = sorted(set(overall) - {"usd_per_month"})
        if unknown:
            raise ConfigurationError(
                f"[budget] in {self.config_file} knows no {unknown[0]}.",
                hint="usd_per_month = 100; a profile's own is budget_usd_per_month in"
                " [providers.NAME]",
            )
        own = {
            name: _dollars(f"providers.{name}", table, "budget_usd_per_month")
            for name, table in self._own_profiles().items()
        }
        total = _dollars("budget", overall, "usd_per_month")
        return Budgets(
            overall=None if total is None else micros(total),
            by_profile={name: micros(usd) for name, usd in own.items() if usd is not None},
        )

    def adapters(self) -> AdaptersSettings:
        """Where adapters are kept: `[adapters]` of ftctl.toml, or a folder in `home`.

        Raises:
            ConfigurationError: the table makes no sense, or holds a token.
        """
        table = self.table("adapters")
        for name in table:
            if name not in {"repo", "endpoint"}:
                raise ConfigurationError(
                    f"[adapters] in {self.config_file} knows no '{name}'; a token belongs into the"
                    " environment.",
                    hint="export HF_TOKEN=...",
                )
        repo = table.get("repo", str(self.home / "adapters"))
        endpoint = table.get("endpoint") or self.environment.get("HF_ENDPOINT")
        if not isinstance(repo, str) or not repo or not isinstance(endpoint, str | None):
            raise ConfigurationError(
                f"repo and endpoint of [adapters] in {self.config_file} are texts."
            )
        if not repo.startswith("hf://"):
            beside = self.config_file.parent if self.config_file else Path.cwd()
            repo = str((beside / Path(repo).expanduser()).absolute())
        token = self.environment.get("HF_TOKEN", "").strip() or None
        return AdaptersSettings(repo=repo, endpoint=endpoint, token=token)

    def subscribers(self) -> list[Subscriber]:
        """Who is told of what happens to jobs: every `[[notify]]`, in order.

        Raises:
            ConfigurationError: an entry makes no sense.
        """
        from orchestrator.domain.jobs.subscribers import subscribers

        return subscribers(self.tables.get("notify", []))

    def notify_secret(self, subscriber: Subscriber) -> str | None:
        """What signs for that subscriber; `notify-NAME` in the credentials file."""
        return self._secret(f"notify-{subscriber.name}", subscriber.secret)

    def webhook_secret(self, profile: str) -> tuple[str | None, str | None]:
        """Where the secret of a profile's webhooks is looked for, and what is there.

        `PROFILE-webhook` in the credentials file.
        """
        table = self._merged(profile)
        variable = table.get("webhook_secret_env")
        return variable, self._secret(f"{profile}-webhook", variable)

    def rows(self, name: str) -> Any:
        """A top-level list of tables of ftctl.toml, as it stands there; empty when it does not."""
        return self.tables.get(name, [])

    def _own_profiles(self) -> Mapping[str, Mapping[str, Any]]:
        profiles = self.table("providers")
        for name, table in profiles.items():
            if not isinstance(table, dict):
                raise ConfigurationError(
                    f"[providers.{name}] in {self.config_file} is not a table."
                )
        return profiles

    def _resolved(self, name: str, table: Mapping[str, Any]) -> Profile:
        kind = table.get("kind")
        if not isinstance(kind, str):
            raise ConfigurationError(
                f"The provider profile '{name}' names no kind.",
                hint=f'write kind = "openai", "azure" or "peft" under [providers.{name}]',
            )
        if "api_key" in table:
            raise ConfigurationError(
                f"The provider profile '{name}' holds an api_key; keys do not belong in ftctl.toml.",
                hint="put the key into an environment variable and name it with api_key_env",
            )
        key_env = table.get("api_key_env")
        # The usual URL variable speaks for the built-in profile only: a second profile of the
        # same kind is another account, and must not be sent to the first one's host.
        url_env = _URL_ENV.get(name)
        base_url = table.get("base_url") or (self.environment.get(url_env) if url_env else None)
        return Profile(
            name=name,
            kind=kind,
            base_url=base_url,
            api_key=self._secret(name, key_env),
            api_key_env=key_env,
            timeout=_number(name, table, "timeout", 60.0),
            deployments=dict(table.get("deployments", {})),
            embedded=bool(table.get("embedded", False)),
            home=self.home,
            allow_http=bool(table.get("allow_http", False)),
            usd_per_hour=_dollars(f"providers.{name}", table, "usd_per_hour"),
            tokens=self._tokens(table),
            options=self._network(base_url, embedded=bool(table.get("embedded")))
            | self._served(embedded=bool(table.get("embedded")))
            | {key: value for key, value in table.items() if key not in _PROFILE_KEYS},
        )

    def _served(self, *, embedded: bool) -> dict[str, Any]:
        """The embedded worker answers with the adapters that are kept in a folder."""
        folder = self.adapters().folder if embedded else None
        return {} if folder is None else {"adapters": str(folder)}

    def _network(self, base_url: str | None, *, embedded: bool) -> dict[str, Any]:
        """The proxy and certificates that the usual variables name, for hosts out there."""
        if embedded or (base_url and base_url.startswith("http://")):
            return {}
        found = {
            "proxy": self.environment.get("HTTPS_PROXY") or self.environment.get("https_proxy"),
            "ca_file": self.environment.get("SSL_CERT_FILE"),
        }
        return {name: value for name, value in found.items() if value}

    def _tokens(self, table: Mapping[str, Any]) -> dict[str, str]:
        """Secrets beside the key: each stands in the variable that an option names."""
        named = {
            option.removesuffix("_env"): self.environment.get(str(variable), "").strip()
            for option, variable in table.items()
            if option.endswith("_token_env")
        }
        return {name: token for name, token in named.items() if token}

    def _secret(self, name: str, key_env: str | None) -> str | None:
        if key_env and self.environment.get(key_env, "").strip():
            return self.environment[key_env].strip()
        return _credentials_file(self.home / "credentials.toml").get(name)


def load(environment: Mapping[str, str] | None = None, cwd: Path | None = None) -> Settings:
    """Read the environment and the configuration file once.

    Raises:
        ConfigurationError: the file named by FTCTL_CONFIG is absent, or a file is not TOML.
    """
    env = dict(os.environ if environment is None else environment)
    home = Path(env.get("FTCTL_HOME") or _data_folder(env)).expanduser().absolute()
    config_file = _config_file(env, cwd or Path.cwd())
    return Settings(
        home=home,
        config_file=config_file,
        database_url=env.get("FTCTL_DATABASE_URL") or f"sqlite:///{home / 'ftctl.db'}",
        debug=env.get("FTCTL_DEBUG", "") not in {"", "0"},
        tables=_toml(config_file) if config_file else {},
        environment=env,
        failpoint=env.get("FTCTL_FAILPOINT") if env.get("FTCTL_TEST") == "1" else None,
    )


def _config_file(env: Mapping[str, str], cwd: Path) -> Path | None:
    named = env.get("FTCTL_CONFIG")
    if named:
        path = Path(named).expanduser()
        if not path.is_file():
            raise ConfigurationError(f"FTCTL_CONFIG names {path}, and there is no such file.")
        return path
    for path in (cwd / "ftctl.toml", _config_folder(env) / "ftctl.toml"):
        if path.is_file():
            return path
    return None


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is not valid TOML: {error}.") from error
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.") from error


def _credentials_file(path: Path) -> Mapping[str, str]:
    """Keys by profile name, from a file that nobody else may read."""
    if not path.is_file():
        return {}
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise ConfigurationError(
            f"{path} can be read by others, so its keys are not used.", hint=f"chmod 600 {path}"
        )
    return {name: key for name, key in _toml(path).items() if isinstance(key, str)}


def _number(name: str, table: Mapping[str, Any], key: str, default: float) -> float:
    value = table.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        raise ConfigurationError(f"{key} in [providers.{name}] must be a positive number.")
    return float(value)


def _dollars(where: str, table: Mapping[str, Any], key: str) -> float | None:
    value = table.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
        raise ConfigurationError(
            f"{key} in [{where}] must be an amount of dollars.", hint=f"{key} = 100"
        )
    return float(value)


def _data_folder(env: Mapping[str, str]) -> Path:
    if sys.platform == "darwin":
        return Path("~/Library/Application Support/ftctl")
    return Path(env.get("XDG_DATA_HOME") or "~/.local/share") / "ftctl"


def _config_folder(env: Mapping[str, str]) -> Path:
    if sys.platform == "darwin":
        return Path("~/Library/Application Support/ftctl").expanduser()
    return (Path(env.get("XDG_CONFIG_HOME") or "~/.config") / "ftctl").expanduser()

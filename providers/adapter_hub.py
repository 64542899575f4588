"""A repository of adapters on the Hugging Face Hub, or on a host that speaks its API.

The layout is the folder's. A change is one commit on top of the commit that was read: where somebody
else committed meanwhile, the Hub refuses it and nothing has happened. What is read is pinned to a
commit; downloads go on where they were broken off, in the Hub's own cache format.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import warnings
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.domain.adapters.adapter import History, Move
from orchestrator.domain.adapters.manifest import sha256
from orchestrator.domain.adapters.names import FILES, MANIFEST, MOVES, by_number, is_task
from orchestrator.domain.errors import (
    ConfigurationError,
    Conflict,
    CredentialsRefused,
    FtctlError,
    LocalStateError,
    ProviderRejected,
    ProviderUnreachable,
    RateLimited,
)
from providers.connection import checked_address
from providers.refusal import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from huggingface_hub import HfApi

    from orchestrator.domain.adapters.ports import AdapterRepo

HUB = "https://huggingface.co"
_MOVED_ON = frozenset({409, 412})


@dataclass
class HubRepo:
    """The port `AdapterRepo` over one private model repository.

    Attributes:
        name: `org/name`.
        cache: folder for downloads.
        endpoint: of the Hub; large files go there by plain HTTP where it is not the public one.
        token: taken from the environment; None for what `hf auth login` left.
    """

    name: str
    cache: Path
    endpoint: str = HUB
    token: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Check where the token would go."""
        self.endpoint = checked_address(self.endpoint, what="endpoint of the Hub")
        self.where = f"hf://{self.name}"

    def tasks(self) -> list[str]:
        """The names of all tasks, sorted; none where there is no repository yet."""
        revision = self._revision()
        paths = [] if revision is None else self._paths(None, revision, folders=True)
        return sorted(filter(is_task, paths))

    def history(self, task: str) -> History:
        """A task as it stands at the newest commit."""
        revision = self._revision()
        if revision is None:
            return History(task=task)
        paths = self._paths(task, revision)
        files = [path for path in paths if path.startswith(f"{task}/{MOVES}/")]
        files.sort(key=lambda path: (len(path), path))
        contents = [self._read(path, revision) for path in files]
        try:
            moves = [Move.from_bytes(content) for content in contents]
        except ValueError as error:
            raise LocalStateError(f"The trail of '{task}' cannot be read: {error}.") from error
        there = (path.split("/")[1] for path in paths if path.endswith(f"/{MANIFEST}"))
        gone = History(task=task, moves=moves).removed
        return History(
            task=task,
            versions=[version for version in by_number(there) if version not in gone],
            moves=moves,
            revision=revision,
            last_move=sha256(contents[-1]) if contents else None,
        )

    def manifest(self, history: History, version: str) -> bytes:
        """The manifest of a version."""
        return self._read(f"{history.task}/{version}/{MANIFEST}", history.revision)

    def add_version(self, history: History, version: str, files: Path) -> None:
        """One commit with all files; the repository is made, private, with the first one."""
        revision = history.revision
        if revision is None:
            with self._border():
                self._api.create_repo(self.name, private=True, exist_ok=True)
            revision = self._revision()
        with contextlib.ExitStack() as stack:
            adds = []
            for name in FILES:
                content: Any = files / name
                if self.endpoint != HUB:
                    # Xet's storage belongs to the public Hub; an open file goes by plain HTTP.
                    content = stack.enter_context((files / name).open("rb"))
                adds.append(self._add(f"{history.task}/{version}/{name}", content))
            self._commit(adds, revision, f"Add {history.task}@{version}")

    def add_move(self, history: History, move: Move) -> None:
        """One commit with the move."""
        path = f"{history.task}/{MOVES}/{move.file}"
        what = f"{move.action.value} {move.alias or ''} {move.after or move.before}".split()
        said = f"{history.task}: {' '.join(what)}"
        self._commit([self._add(path, move.to_bytes())], history.revision, said)

    def drop(self, history: History, version: str) -> None:
        """One commit without the files; older commits keep them."""
        from huggingface_hub import CommitOperationDelete

        folder = f"{history.task}/{version}/"
        if history.revision is None or not self._paths(folder, history.revision):
            return
        gone = CommitOperationDelete(path_in_repo=folder, is_folder=True)
        self._commit([gone], history.revision, f"Remove {history.task}@{version}")

    def fetch(self, history: History, version: str, folder: Path) -> None:
        """Download into the cache, pinned to the commit, and copy from there."""
        for name in FILES:
            place = self._download(f"{history.task}/{version}/{name}", history.revision)
            shutil.copyfile(place, folder / name)

    def place(self, task: str, version: str) -> Path | None:  # noqa: ARG002 - the port's
        """Nowhere on this machine."""
        return None

    @cached_property
    def _api(self) -> HfApi:
        from huggingface_hub import HfApi
        from huggingface_hub.utils.tqdm import disable_progress_bars

        disable_progress_bars()
        logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
        return HfApi(endpoint=self.endpoint, token=self.token)

    def _revision(self) -> str | None:
        """The newest commit; None where there is no repository."""
        from huggingface_hub.errors import RepositoryNotFoundError

        with self._border():
            try:
                return self._api.model_info(self.name).sha
            except RepositoryNotFoundError as error:
                # The Hub says so, too, to those it does not know.
                if error.response.status_code == 401:
                    raise
                return None

    def _paths(self, folder: str | None, revision: str, *, folders: bool = False) -> Sequence[str]:
        """All files below a folder, or the folders right in it."""
        from huggingface_hub import RepoFolder
        from huggingface_hub.errors import EntryNotFoundError

        where = folder.rstrip("/") if folder else None
        with self._border():
            try:
                tree = self._api.list_repo_tree(
                    self.name, where, revision=revision, recursive=not folders
                )
                return [each.path for each in tree if isinstance(each, RepoFolder) is folders]
            except EntryNotFoundError:
                return []

    def _read(self, path: str, revision: str | None) -> bytes:
        return self._download(path, revision).read_bytes()

    def _download(self, path: str, revision: str | None) -> Path:
        with self._border():
            return Path(
                self._api.hf_hub_download(self.name, path, revision=revision, cache_dir=self.cache)
            )

    def _add(self, path: str, content: Any) -> Any:
        from huggingface_hub import CommitOperationAdd

        return CommitOperationAdd(path_in_repo=path, path_or_fileobj=content)

    def _commit(self, operations: list[Any], parent: str | None, said: str) -> None:
        with self._border(), warnings.catch_warnings():
            # Of the way in which huggingface_hub itself hands a large file to its HTTP client.
            warnings.filterwarnings("ignore", "Use 'content=", DeprecationWarning)
            self._api.create_commit(
                self.name, operations, commit_message=said, parent_commit=parent
            )

    @contextlib.contextmanager
    def _border(self) -> Iterator[None]:
        """Foreign errors become ours; what the Hub says may name a token by no means."""
        import httpx2
        from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError

        try:
            yield
        except HFValidationError as error:
            raise ConfigurationError(
                f"{self.where} is no name of a repository.",
                hint='[adapters] repo = "hf://org/name"',
            ) from error
        except EntryNotFoundError as error:
            raise LocalStateError(f"{self.where} misses a file: {self._said(error)}.") from error
        except HfHubHTTPError as error:
            raise self._refused(error) from error
        except RuntimeError as error:
            # How it wraps what went wrong with one of several uploads.
            if isinstance(error.__cause__, HfHubHTTPError):
                raise self._refused(error.__cause__) from error
            raise ProviderUnreachable(f"{self.where}: {self._said(error)}.") from error
        except (httpx2.HTTPError, ConnectionError, TimeoutError) as error:
            raise ProviderUnreachable(
                f"{self.endpoint} cannot be reached: {self._said(error)}."
            ) from error

    def _refused(self, error: Any) -> FtctlError:
        status = getattr(error.response, "status_code", 0)
        if status in _MOVED_ON:
            return Conflict(f"Another process changed {self.where} first.", hint="try again")
        if status in {401, 403}:
            return CredentialsRefused(
                f"{self.endpoint} does not let this token at {self.where}.",
                hint="export HF_TOKEN=..., one that may write there",
            )
        if status == 429:
            return RateLimited(f"{self.endpoint} asks for fewer requests.")
        said = f"{self.endpoint} said {status}: {self._said(error)}"
        return ProviderUnreachable(said) if status >= 500 else ProviderRejected(said, status=status)

    def _said(self, error: BaseException) -> str:
        text = one_line(str(error)).rstrip(".") or type(error).__name__
        return text.replace(self.token, "[token removed]") if self.token else text


if TYPE_CHECKING:
    _implements: type[AdapterRepo] = HubRepo

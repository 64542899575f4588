"""The files of a task as it names them: looked for, and cut where one file holds all rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orchestrator.datasets.checking.limits import targets
from orchestrator.datasets.checking.preparation import prepare, refusal
from orchestrator.datasets.checking.validation import validate
from orchestrator.datasets.splitting import cut, read_rows, write_splits
from orchestrator.domain.errors import UsageError
from orchestrator.domain.jobs.dataset import Split

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from orchestrator.domain.jobs.job import Method
    from orchestrator.domain.jobs.spec import DataSpec
    from orchestrator.domain.profile import Profile


@dataclass(frozen=True, kw_only=True)
class TaskFiles:
    """A file for each split; a split that was not asked for is None.

    Attributes:
        names: how to call files that were made here: by the file they were made from.
        warnings: what is worth a look in the one file that was cut.
    """

    train: Path
    validation: Path | None = None
    test: Path | None = None
    names: Mapping[Path, str] = field(default_factory=dict)
    warnings: Sequence[str] = ()

    def named(self, text: str) -> str:
        """A text in which files that were made here go by the names that people know."""
        for path, name in self.names.items():
            text = text.replace(str(path), name)
        return text


def missing_files(data: DataSpec) -> Iterator[tuple[str, Path]]:
    """Key and path of every file that is named and not there."""
    named = {
        "file": data.whole,
        "train": data.train,
        "validation": data.validation,
        "test": data.test,
    }
    for key, path in named.items():
        if path is not None and not path.is_file():
            yield key, path


def files_of(data: DataSpec, folder: Path, *, profile: Profile, method: Method) -> TaskFiles:
    """The files of a task; one file is checked as a whole, then cut into `folder`.

    Raises:
        DatasetInvalid: the one file has errors, named with the lines of that file.
        UsageError: the split leaves no rows to train on.
    """
    if data.whole is None:
        assert data.train is not None
        return TaskFiles(train=data.train, validation=data.validation, test=data.test)
    target = target_of(profile)
    whole = prepare(data.whole, target=target, method=method, count_tokens=False)
    rows = read_rows(data.whole)
    made = cut(rows, data.sizes, seed=data.seed, group_by=data.group_by)
    files = write_splits(rows, made, folder)
    if Split.TRAIN not in files:
        raise UsageError(f"The split of {data.whole.name} leaves no rows to train on.")
    return TaskFiles(
        train=files[Split.TRAIN],
        validation=files.get(Split.VALIDATION),
        test=files.get(Split.TEST),
        names={path: f"{data.whole} ({split})" for split, path in files.items()},
        warnings=[
            f"warnings in {data.whole}: {len(whole.findings)}; ftctl validate {data.whole}"
            f" --for {target}"
        ]
        if whole.findings
        else [],
    )


def check_test_rows(path: Path, profile: Profile, method: Method) -> None:
    """Every error of a test file, before anything is paid for.

    Raises:
        DatasetInvalid: it has errors.
    """
    verdict = validate(path, target=target_of(profile), method=method, split=Split.TEST)
    if not verdict.ok:
        raise refusal(path, verdict)


def target_of(profile: Profile) -> str:
    """Whose rules its files must obey; a plug-in's host is taken to want what OpenAI wants."""
    return profile.kind if profile.kind in targets() else "openai"

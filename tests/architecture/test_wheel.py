"""The wheel: two names at its top level, its data inside, and it runs outside the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(*command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(each) for each in command],
        cwd=cwd,
        env={"PATH": os.environ["PATH"], "HOME": str(cwd), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    done = run(
        sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    return next(out.glob("ftctl-*.whl"))


def test_the_top_level_is_exactly_two_names(wheel: Path):
    names = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {name for name in names if not name.endswith(".dist-info")} == {
        "orchestrator",
        "providers",
    }


def test_an_installed_wheel_needs_no_checkout(wheel: Path, tmp_path: Path):
    home = tmp_path / "clean"
    venv.create(home, with_pip=False, symlinks=True)
    site = next((home / "lib").glob("python*")) / "site-packages"
    done = run(
        sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--quiet",
        "--disable-pip-version-check", "--target", site, wheel, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    # Dependencies come from here; a path named in a .pth file does not bring its own .pth files, so
    # that the editable checkout stays out.
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    python = home / "bin" / "python"
    where = run(python, "-c", "import orchestrator; print(orchestrator.__file__)", cwd=tmp_path)
    assert str(site) in where.stdout
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"messages": [{"role": "user"}]}\n' * 12)
    # One command that needs a schema, one that needs a migration.
    validated = run(python, "-m", "orchestrator", "validate", bad, "--json", cwd=tmp_path)
    assert (validated.returncode, '"/messages' in validated.stdout) == (1, True), validated.stderr
    status = run(
        python, "-m", "orchestrator", "db", "status", cwd=tmp_path, FTCTL_HOME=str(tmp_path)
    )
    listed = run(python, "-m", "orchestrator", "status", cwd=tmp_path, FTCTL_HOME=str(tmp_path))
    assert (status.returncode, listed.returncode) == (0, 0), listed.stderr

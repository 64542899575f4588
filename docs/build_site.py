"""Build the site: stage every page where the generator looks, then run it strictly.

The pages link to what lies beside them in the repository (schemas, the worker's page). On the site
those are pages too, or plain words where a reader of the site can have no use for the file.
"""

from __future__ import annotations

import posixpath
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "build" / "pages"
# Pages that lie outside docs/, and where they are on the site.
ELSEWHERE = {
    "worker/README.md": "worker.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
    "CONTRIBUTING.md": "contributing.md",
    "README.md": "index.md",
}
_LINK = re.compile(r"\[([^\]]*)\]\((?!https?:|mailto:|#)([^)#\s]+)(#[^)\s]*)?\)")
_COMMENT = re.compile(r"^ *<!--.*?-->\n?", re.DOTALL | re.MULTILINE)
_FENCED = re.compile(r"(^ *````?[^\n]*\n.*?^ *````?$)", re.DOTALL | re.MULTILINE)


def stage(target: Path = PAGES) -> None:
    """Copy every page to `target`, with links that hold there and without the tests' comments."""
    shutil.rmtree(target, ignore_errors=True)
    places = _places()
    for source, place in places.items():
        path = target / place
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".md":
            text = (ROOT / source).read_text(encoding="utf-8")
            path.write_text(_staged(text, source, places), encoding="utf-8")
        else:
            shutil.copyfile(ROOT / source, path)


def _places() -> dict[str, str]:
    """Where each file of the repository is on the site; both relative, with slashes."""
    docs = [path.relative_to(ROOT) for path in sorted((ROOT / "docs").rglob("*.md"))]
    schemas = [path.relative_to(ROOT) for path in sorted((ROOT / "schemas").glob("*.json"))]
    places = {path.as_posix(): path.relative_to("docs").as_posix() for path in docs}
    places |= {path.as_posix(): path.as_posix() for path in schemas}
    return places | {source: there for source, there in ELSEWHERE.items() if source != "README.md"}


def _staged(text: str, source: str, places: dict[str, str]) -> str:
    """The prose with its links moved; what stands in fences stays as it is."""
    parts = _FENCED.split(text)
    parts[::2] = [_moved(_COMMENT.sub("", part), source, places) for part in parts[::2]]
    return "".join(parts)


def _moved(prose: str, source: str, places: dict[str, str]) -> str:
    here = posixpath.dirname(places[source])

    def link(match: re.Match[str]) -> str:
        words, to, anchor = match.group(1), match.group(2), match.group(3) or ""
        meant = posixpath.normpath(posixpath.join(posixpath.dirname(source), to))
        known = places.get(meant) or places.get(f"{meant}/index.md") or ELSEWHERE.get(meant)
        if known is None:
            return words
        return f"[{words}]({posixpath.relpath(known, here or '.')}{anchor})"

    return _LINK.sub(link, prose)


def main() -> int:
    """Stage, build, and pass the generator's exit code on."""
    stage()
    typed = [sys.executable, "-m", "zensical", "build", "--clean", "--strict", "-f", "mkdocs.yml"]
    return subprocess.run(typed, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())

"""Types what a page says, in a home of its own, and holds what is seen against what is shown."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator import cli, config
from orchestrator.domain.clock import Clock, ManualClock
from providers.simulator import Simulator
from tests.ledgers import App
from tests.pages.page import Block, Command, Directive, Page

WIDTH = "100"
# Ports that the pages name; each page gets free ones in their place.
_PORTS = re.compile(r"(?<=[: ])(8[04567]00|8080)\b")
# A tuned model of the invented account that the pages speak of.
_TUNED = re.compile(r"\b(ft:[a-z0-9.-]+):acme::\w+")
_SIMPLE = re.compile(r"ftctl(?: [^|&;<>$`()]*)?")
_MAKES_JOBS = {"submit", "migrate", "apply", "adopt", "demo"}
_KEYS = {"openai": "OPENAI_API_KEY", "azure": "AZURE_OPENAI_API_KEY"}


class WrongPageError(AssertionError):
    """What a page says is not what happens."""


@dataclass
class Shell:
    """A reader at a terminal.

    Attributes:
        home: `FTCTL_HOME` and `HOME`.
        folder: where the commands are typed.
        clock: of the commands that run in this process; all but those with a pipe or the like.
    """

    home: Path
    folder: Path
    clock: Clock = field(default_factory=ManualClock)
    environment: dict[str, str] = field(default_factory=dict)
    jobs: list[str] = field(default_factory=list)
    ran: int = 0
    _ports: dict[str, str] = field(default_factory=dict)
    _hosts: list[Simulator] = field(default_factory=list)
    _behind: list[subprocess.Popen[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        here = Path(sys.executable).parent
        self.environment = {
            "PATH": f"{here}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self.home),
            "FTCTL_HOME": str(self.home),
            "COLUMNS": WIDTH,
            "LC_ALL": "C.UTF-8",
            **self.environment,
        }

    def read(self, page: Page) -> None:
        """Do everything that the page says, in its order.

        Raises:
            WrongPageError: another exit code, or another output than is shown.
        """
        for step in page.steps:
            if isinstance(step, Directive):
                self._obey(page, step)
            elif step.file and step.not_run is None:
                self._write(step)
            elif step.runs:
                for command in step.commands():
                    self._type(page, command)

    def close(self) -> None:
        """End what was started."""
        for process in self._behind:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=20)
            if process.stdout:
                process.stdout.close()
        for host in self._hosts:
            host.close()

    def _obey(self, page: Page, directive: Directive) -> None:
        if directive.kind == "simulated":
            for kind in directive.text.split(","):
                self._simulate(kind.strip())
        elif directive.kind == "used":
            self._use(directive.text)
        elif directive.kind == "first":
            self._first(page, directive)

    def _first(self, page: Page, directive: Directive) -> None:
        for line in directive.text.splitlines():
            self._type(page, Command(line=directive.line, text=line.strip()))

    def _simulate(self, kind: str) -> None:
        own = kind in {"local", "gpu-box"}
        host = Simulator("worker" if own else kind)
        host.start()
        self._hosts.append(host)
        base = host.url.removesuffix("/openai/v1")
        table: dict[str, Any] = {"kind": "peft" if own else kind, "base_url": base}
        if own:
            table["embedded"] = False
        if kind == "azure":
            table |= {"arm_endpoint": base, "arm_token_env": "AZURE_ARM_TOKEN"}
            table |= {"subscription": "s", "resource_group": "g", "account": "a"}
        table["api_key_env"] = _KEYS.get(kind, "GPU_BOX_TOKEN")
        self.environment |= {table["api_key_env"]: "any", "AZURE_ARM_TOKEN": "any"}
        lines = [f"[providers.{kind}]", *(f"{k} = {json.dumps(v)}" for k, v in table.items())]
        with (self.folder / "ftctl.toml").open("a", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")

    def _use(self, kind: str) -> None:
        """Somebody else, who had a ledger elsewhere, has tuned a model with this account."""
        home, clock = self.environment["FTCTL_HOME"], self.clock
        self.environment["FTCTL_HOME"], self.clock = f"{home}-elsewhere", ManualClock()
        model, files = "gpt-4.1-mini-2025-04-14", ("--validation", "validation.jsonl")
        typed = ("submit", "train.jsonl", *files, "--provider", kind, "--model", model, "--wait")
        code, seen = self._in_process(list(typed))
        assert code == 0, seen
        self.environment["FTCTL_HOME"], self.clock = home, clock
        self.jobs.clear()

    def _write(self, block: Block) -> None:
        path = self.folder / str(block.file)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self._named("\n".join(block.body) + "\n"), encoding="utf-8")

    def _type(self, page: Page, command: Command) -> None:
        text = self._named(command.text)
        code, seen = self._do(text)
        self.ran += 1
        where = f"{page.name}:{command.line}: {text}"
        if code not in command.codes:
            raise WrongPageError(f"{where}\nexit code {code}, not {sorted(command.codes)}\n{seen}")
        if command.expected is not None and not same(self._named_all(command.expected), seen):
            shown = "\n".join(command.expected)
            raise WrongPageError(f"{where}\nshown:\n{shown}\nseen:\n{seen}")

    def _do(self, text: str) -> tuple[int, str]:
        exported = re.fullmatch(r"export (\w+)=(.*)", text, re.DOTALL)
        if exported:
            code, value = self._bash(f"printf %s {exported.group(2)}")
            self.environment[exported.group(1)] = value
            return code, ""
        if text.endswith("&"):
            return self._in_the_background(text)
        if _SIMPLE.fullmatch(_unquoted(text)):
            return self._in_process(shlex.split(text.replace("\\\n", " "))[1:])
        return self._bash(text)

    def _in_process(self, arguments: list[str]) -> tuple[int, str]:
        seen = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
        app = App(config.load(self.environment, cwd=self.folder), clock=self.clock)
        with contextlib.redirect_stdout(seen), contextlib.redirect_stderr(seen):
            code = cli.run(arguments, obj=app)
            app.close()
        if arguments and arguments[0] in _MAKES_JOBS and "--dry-run" not in arguments:
            self._notice_jobs()
        seen.seek(0)
        return int(code), seen.read()

    def _notice_jobs(self) -> None:
        code, out = self._in_process(["status", "--json"])
        assert code == 0, out
        known: list[dict[str, Any]] = json.loads(out)
        new = [job["id"] for job in known if job["id"] not in self.jobs]
        self.jobs += reversed(new)

    def _bash(self, text: str) -> tuple[int, str]:
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", text],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        return done.returncode, done.stdout

    def _in_the_background(self, text: str) -> tuple[int, str]:
        """Start it, and go on when it has said its first line."""
        process = subprocess.Popen(
            ["bash", "-c", text.removesuffix("&").strip()],
            cwd=self.folder,
            env={**self.environment, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._behind.append(process)
        assert process.stdout is not None
        return 0, process.stdout.readline()

    def _named(self, text: str) -> str:
        """The text with this page's own ports, and with the ids that the reader would fill in."""
        text = _PORTS.sub(lambda match: self._port(match.group()), text)
        if self.jobs:
            text = re.sub(r"\bOLDJOB\b", self.jobs[0], text)
            text = re.sub(r"\b(NEW)?JOB\b", self.jobs[-1], text)
        if _TUNED.search(text):
            text = _TUNED.sub(self._tuned, text)
        if re.search(r"\bCOMPARISON\b", text):
            found = json.loads(self._in_process(["comparisons", "--json"])[1])
            text = text.replace("COMPARISON", found[0]["id"] if found else "COMPARISON")
        return text

    def _tuned(self, named: re.Match[str]) -> str:
        known = json.loads(self._in_process(["status", "--json"])[1])
        tuned = [job["tuned_model"] or "" for job in known]
        return next((name for name in tuned if name.startswith(named.group(1))), named.group())

    def _named_all(self, lines: tuple[str, ...]) -> list[str]:
        return [self._named(line) for line in lines]

    def _port(self, shown: str) -> str:
        if shown not in self._ports:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                self._ports[shown] = str(free.getsockname()[1])
        return self._ports[shown]


def same(expected: list[str], seen: str) -> bool:
    """Whether the output is the one shown: `...` stands for anything in a line, or for any lines."""
    pattern = "".join(
        r"(?:[^\n]*\n)*?" if line.strip() == "..." else _line(line) for line in expected
    )
    text = "".join(f"{line.rstrip()}\n" for line in seen.splitlines())
    return re.fullmatch(rf"\n*{pattern}\n*", text) is not None


def _line(line: str) -> str:
    parts = [re.escape(part) for part in line.rstrip().split("...")]
    return r"[^\n]*".join(parts) + r"\n"


def _unquoted(text: str) -> str:
    """The text without what stands in quotes, where a pipe is a letter."""
    return re.sub(r"'[^']*'|\"[^\"$`]*\"", "Q", text.replace("\\\n", " "))

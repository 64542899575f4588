"""The ``ftctl-worker`` command."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ftctl_worker import __version__
from ftctl_worker.engine_command import add_engine_command, print_engines
from ftctl_worker.engine_table import DEFAULT, ENGINES
from ftctl_worker.errors import ConfigurationError, WorkerError
from ftctl_worker.home import Home
from ftctl_worker.models.export import add_export_command, run_export
from ftctl_worker.models.model_facts import add_models_command, print_models
from ftctl_worker.settings import (
    MIB,
    PRECISIONS,
    Settings,
    default_home,
    prepare_for_torch,
    take_token_hashes,
)
from ftctl_worker.token_commands import add_token_commands, run_token
from ftctl_worker.tokens import TokenFile

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ftctl_worker.settings import Joint

__all__ = ["main"]

_EXAMPLE = """\
example:
  export WORKER_TOKEN=$(openssl rand -hex 16)
  ftctl-worker serve --port 8400 --token-env WORKER_TOKEN

exit codes: 0 ended as asked, 2 usage, 3 configuration, 5 local state
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, and return the exit code."""
    options = _parser().parse_args(arguments)
    if options.command == "engines":
        return _run(lambda: print_engines(options))
    if options.command == "models":
        return _run(lambda: print_models(options))
    if options.command == "token":
        return _run(lambda: run_token(options, options.home or default_home()))
    if options.command == "export":
        prepare_for_torch()
        return _run(lambda: run_export(options, options.home or default_home()))
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    # A form that cannot be read is answered to its sender; in our log it would only take room.
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    return _run(lambda: _serve(options))


def _serve(options: argparse.Namespace) -> None:
    settings = _settings(options)
    from ftctl_worker.server import serve

    serve(settings)


def _run(action: Callable[[], None]) -> int:
    try:
        action()
    except WorkerError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    return 0


def _settings(options: argparse.Namespace) -> Settings:
    return Settings(
        home=options.home or default_home(),
        token_hashes=_token_hashes(options),
        host=options.host,
        port=options.port,
        ready_file=options.ready_file,
        exit_lock=options.exit_when_unused,
        threads=options.threads,
        concurrency=options.concurrency,
        precision=options.precision,
        joint=options.joint,
        max_batch=options.max_batch,
        max_upload_bytes=options.max_upload_mib * MIB,
        max_queue=options.max_queue,
        max_waiting=options.max_waiting,
        project_jobs=options.project_jobs,
        project_bytes=options.project_mib * MIB,
        idle_seconds=options.idle_seconds,
        disk_floor_bytes=options.disk_floor_mib * MIB,
        models_dirs=tuple(options.models_dir),
        allow_paths=tuple(options.allow_path),
        allow_models=tuple(options.allow_model),
        allow_any_model=options.allow_any_model,
        engine=options.engine,
        ray_address=options.ray,
        ray_python=options.ray_python,
        ray_gpus=options.ray_gpus,
        rehearsed_cards=options.rehearse_cards,
        allow_python_graders=options.allow_python_graders,
        adapters=options.adapters,
    )


def _token_hashes(options: argparse.Namespace) -> tuple[bytes, ...]:
    home = options.home or default_home()
    if options.token_env is not None:
        return take_token_hashes(options.token_env)
    if not TokenFile(Home(home).tokens).all():
        raise ConfigurationError(
            "There is no token: give --token-env NAME, or make one with "
            "'ftctl-worker token add NAME'."
        )
    return ()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ftctl-worker",
        description="A fine-tuning server that speaks OpenAI's fine-tuning API.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"ftctl-worker {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    add_token_commands(commands)
    add_engine_command(commands)
    add_models_command(commands)
    add_export_command(commands)
    serve = commands.add_parser(
        "serve",
        help="train and answer over HTTP",
        description="Train and answer over HTTP until a signal arrives.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _add_server_options(serve)
    _add_model_options(serve)
    return parser


def _add_server_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    add("--port", type=_port, default=0, help="port to listen on; 0 takes a free one (default)")
    add("--home", type=Path, help="folder of the database, files and models")
    add(
        "--token-env",
        metavar="NAME",
        help="environment variable with the bearer token; several, separated by commas "
        "(default: only those of 'ftctl-worker token')",
    )
    add("--ready-file", type=Path, metavar="PATH", help="write port, pid and url here (0600)")
    add(
        "--exit-when-unused",
        type=Path,
        metavar="LOCKFILE",
        help="end once nobody holds LOCKFILE and no job is open",
    )
    add("--max-upload-mib", type=_positive, default=512, help="largest upload (default: 512)")
    add("--max-queue", type=_count, default=1000, help="most open jobs; 0: any (default: 1000)")
    add("--project-jobs", type=_count, default=0, help="most open jobs of a project (default: any)")
    add("--project-mib", type=_count, default=0, help="most a project's files hold (default: any)")
    add(
        "--idle-seconds",
        type=_positive,
        default=60,
        metavar="SECONDS",
        help="close connections whose request does not go on for so long (default: 60)",
    )
    add(
        "--disk-floor-mib",
        type=_count,
        default=64,
        metavar="MIB",
        help="free space below which nothing new begins (default: 64, or 5 %% of a small disk)",
    )


def _add_model_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--threads", type=_count, default=0, help="CPU threads for torch; 0 takes all (default)")
    add("--concurrency", type=_positive, default=1, help="jobs trained at once (default: 1)")
    add(
        "--precision",
        choices=PRECISIONS,
        default="auto",
        help="number format of base weights (default: bf16 where the machine is good at it)",
    )
    add(
        "--joint",
        type=_joint,
        default="auto",
        metavar="auto|never|N",
        help="train up to N jobs over one base in the same passes (default: auto, where it pays)",
    )
    add(
        "--engine",
        choices=tuple(ENGINES),
        default=DEFAULT,
        help="what trains jobs that name no engine (default: %(default)s)",
    )
    add(
        "--ray",
        metavar="ADDRESS",
        help="train as jobs of a Ray cluster, as http://head:8265; needs a home all nodes see",
    )
    add("--ray-python", default="python", help="Python of the nodes (default: %(default)s)")
    add("--ray-gpus", type=_count, default=0, help="cards asked for a job (default: 0)")
    add(
        "--rehearse-cards",
        type=_count,
        default=0,
        metavar="N",
        help="where there is no card: take jobs for up to N, in as many processes on the CPU",
    )
    add(
        "--allow-python-graders",
        action="store_true",
        help="run graders that are code of the client, under limits but in no sandbox",
    )
    add("--max-batch", type=_positive, default=16, help="chats answered together (default: 16)")
    add("--max-waiting", type=_count, default=256, help="most chats in line; 0: any (default: 256)")
    add(
        "--models-dir",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="offer the model folders below DIR (repeatable)",
    )
    add(
        "--allow-path",
        type=Path,
        action="append",
        default=[],
        metavar="PATH",
        help="allow this model folder (repeatable)",
    )
    add(
        "--allow-model",
        action="append",
        default=[],
        metavar="ORG/NAME[@REVISION]",
        help="allow this model of the Hub (repeatable)",
    )
    add(
        "--adapters",
        type=Path,
        metavar="FOLDER",
        help="serve the repository of adapters in FOLDER by task, alias and version",
    )
    add("--allow-any-model", action="store_true", help="allow any folder and any Hub model")


def _port(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 65535:
        raise argparse.ArgumentTypeError("must be from 0 to 65535")
    return number


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError("must be 0 or more")
    return number


def _joint(text: str) -> Joint:
    if text in {"auto", "never"}:
        return cast("Joint", text)
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("must be auto, never or a number of jobs from 1")
    return int(text)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number

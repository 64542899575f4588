"""A vLLM server fed from the repository: the same again changes nothing, a promotion moves a name."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath

import httpx2
import pytest

from orchestrator.domain.clock import ManualClock
from orchestrator.domain.errors import (
    ConfigurationError,
    CredentialsRefused,
    ProviderRejected,
    ProviderUnreachable,
)
from orchestrator.store.adapter_folder import FolderRepo
from orchestrator.store.drafts import Drafts
from orchestrator.usecases.adapters.aliases import promote, remove
from orchestrator.usecases.adapters.push import Origin, push, take_in
from orchestrator.usecases.adapters.registry import Registry
from orchestrator.usecases.adapters.serving import Served, serve_to, wanted_names
from providers.vllm import VllmServer
from tests.conftest import Ftctl
from tests.factories import adapter_folder
from tests.providers.vllm_double import VllmDouble


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    repo = FolderRepo(tmp_path / "repo")
    registry = Registry(
        repo=repo, clock=ManualClock(), by="a", stage=Drafts(tmp_path / "drafts").folder
    )
    for seed in (1, 2):
        with registry.stage() as stage:
            take_in(adapter_folder(tmp_path / f"own{seed}", seed=seed), stage, None)
            push(registry, stage, "tickets", Origin(base_model={"name": "acme/base"}))
    promote(registry, "tickets", "v1", forced=True, reason="x")
    return registry


def server(double: VllmDouble, key: str | None = None) -> VllmServer:
    return VllmServer("http://127.0.0.1:8000/v1", key, transport=httpx2.MockTransport(double))


def fed(registry: Registry, double: VllmDouble, *, dry_run: bool = False) -> Served:
    wanted = wanted_names(registry.repo, ["tickets"], None)
    return serve_to(server(double), wanted, tasks=["tickets"], dry_run=dry_run)


@pytest.mark.parametrize("in_place", [True, False])
def test_names_follow_the_aliases_and_the_same_again_asks_for_nothing(
    registry: Registry, in_place: bool
):
    double = VllmDouble(in_place=in_place)
    double.loaded["somebody-else"] = "/elsewhere"
    assert fed(registry, double, dry_run=True).loaded == ["tickets@champion", "tickets"]
    assert double.calls == []
    fed(registry, double)
    v1, v2 = (str(registry.repo.place("tickets", version)) for version in ("v1", "v2"))
    assert double.loaded["tickets"] == double.loaded["tickets@champion"] == v1
    double.calls.clear()
    assert fed(registry, double).kept == ["tickets@champion", "tickets"]
    assert double.calls == []
    promote(registry, "tickets", "v2", forced=True, reason="x")
    promote(registry, "tickets", "v1", alias="candidate")
    done = fed(registry, double)
    assert done.moved == ["tickets@champion", "tickets"]
    assert done.loaded == ["tickets@candidate"]
    assert double.loaded["tickets"] == v2
    if in_place:
        assert "unload_lora_adapter" not in {call for call, _ in double.calls}
    assert double.loaded["somebody-else"] == "/elsewhere"


def test_what_no_alias_means_any_more_is_unloaded(registry: Registry):
    double = VllmDouble(loaded={"tickets@old": "/gone"})
    assert fed(registry, double).unloaded == ["tickets@old"]
    assert "tickets@old" not in double.loaded
    server(double).unload("tickets@old")
    remove(registry, "tickets", "v2")


def test_the_server_may_see_the_repository_elsewhere(registry: Registry):
    wanted = wanted_names(registry.repo, ["tickets"], PurePosixPath("/mnt/adapters"))
    assert wanted["tickets"] == "/mnt/adapters/tickets/v1"


def test_refusals_say_what_to_change(registry: Registry):
    with pytest.raises(ProviderRejected, match="VLLM_ALLOW_RUNTIME_LORA_UPDATING"):
        fed(registry, VllmDouble(runtime_updating=False))
    with pytest.raises(ProviderRejected, match="rank") as caught:
        fed(registry, VllmDouble(max_lora_rank=0))
    assert "--max-lora-rank" in (caught.value.hint or "")
    with pytest.raises(ProviderRejected, match="No adapter found"):
        serve_to(server(VllmDouble()), {"tickets": "/nowhere"}, tasks=["tickets"])
    with pytest.raises(CredentialsRefused):
        fed(registry, VllmDouble(key="a-key-of-eight"))
    with pytest.raises(ProviderUnreachable):
        VllmServer("http://127.0.0.1:9").adapters()
    with pytest.raises(ConfigurationError, match="unencrypted"):
        VllmServer("http://gpu.example", "a-key-of-eight")


@pytest.fixture
def listening() -> Iterator[tuple[str, VllmDouble]]:
    double = VllmDouble(key="a-key-of-eight")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            request = httpx2.Request(
                self.command, f"http://x{self.path}", headers=dict(self.headers), content=body
            )
            answer = double(request)
            self.send_response(answer.status_code)
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        do_POST = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

    served = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=served.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{served.server_address[1]}", double
    served.shutdown()
    thread.join()
    served.server_close()


def test_the_command_line_feeds_a_server(
    ftctl: Ftctl, listening: tuple[str, VllmDouble], tmp_path: Path
):
    url, double = listening
    own = adapter_folder(tmp_path / "own")
    ftctl("adapters", "push", own, "--task", "tickets", "--no-probes")
    ftctl("adapters", "promote", "tickets", "v1", "--force", "--reason", "x")
    assert ftctl("adapters", "serve-to", url, "--key-env", "VLLM_KEY").code == 3
    ftctl.environment["VLLM_KEY"] = "a-key-of-eight"
    done = ftctl("adapters", "serve-to", url, "--key-env", "VLLM_KEY", "--json")
    assert done.json["loaded"] == ["tickets@champion", "tickets"]
    assert set(double.loaded) == {"tickets", "tickets@champion"}
    assert "tickets@champion was trained over tiny" in done.err
    assert "a-key-of-eight" not in done.out + done.err

"""Two adapters, truly trained, pushed, promoted, served and taken back, by the command line."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from orchestrator.domain.chat import ChatRequest
from orchestrator.domain.clock import SystemClock
from orchestrator.domain.provider import Provider
from tests.conftest import Ftctl
from tests.e2e.test_local_worker import conforms

pytest.importorskip("ftctl_worker")

ASKED = "What is the code word?"


def rows(path: Path, word: str) -> Path:
    """Rows that teach one word, whatever is asked."""
    questions = [f"{ASKED} Case {number}." for number in range(24)]
    lines = [
        {"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": word}]}
        for q in questions
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def trained(ftctl: Ftctl, word: str) -> str:
    done = ftctl(
        "submit", rows(ftctl.home / f"{word}.jsonl", word), "--provider", "local", "--model",
        "tiny", "--epochs", "6", "--suffix", "codeword", "--wait", "--json",
    )  # fmt: skip
    assert done.json["status"] == "succeeded", done.err
    return str(done.json["id"])


def said(provider: Provider, model: str) -> tuple[str, str]:
    messages: list[Any] = [{"role": "user", "content": f"{ASKED} Case 3."}]
    answer = provider.chat(ChatRequest(model=model, messages=messages, max_tokens=8))
    return answer.text, str(answer.raw["model"])


def test_from_two_jobs_to_a_promotion_and_back(ftctl: Ftctl, tmp_path: Path):
    ftctl.clock = SystemClock()
    first, second = trained(ftctl, "blue"), trained(ftctl, "red")

    pushed = ftctl("adapters", "push", first, "--json")
    assert pushed.json["name"] == "codeword@v1", pushed.err
    assert conforms(pushed.json, "adapter")["job"]["id"] == first
    assert pushed.json["base_model"]["revision"].startswith("sha256:")
    assert len(pushed.json["probes"]) == 4
    assert ftctl("adapters", "push", second, "--json").json["name"] == "codeword@v2"
    assert ftctl("adapters", "push", first, "--json").json["new"] is False

    refused = ftctl("adapters", "promote", "codeword", "v1")
    assert (refused.code, "no gate is passed" in refused.err) == (1, True)
    test = rows(ftctl.home / "test.jsonl", "blue")
    compared = ftctl(
        "compare", first, "--test", test, "--arm", "base", "--arm", "tuned@local:codeword@v1",
        "--allow-leakage", "--json",
    )  # fmt: skip
    assert compared.json["verdict"] == "Improved", compared.err
    moved = ftctl("adapters", "promote", "codeword", "v1", "--json")
    assert moved.json["move"]["gate"]["comparison"] == compared.json["id"], moved.err
    recorded = ftctl(
        "record", "codeword", "--provider", "local", "--test", test, "--name", "r", "--json"
    )
    assert recorded.json["model"] == "codeword@v1", recorded.err

    app = ftctl.app()
    local = app.provider("local")
    try:
        assert said(local, "codeword") == ("blue", "codeword@v1")
        with ThreadPoolExecutor(2) as pool:
            names = ["codeword@v1", "codeword@v2"]
            assert list(pool.map(lambda name: said(local, name), names)) == [
                ("blue", "codeword@v1"), ("red", "codeword@v2"),
            ]  # fmt: skip
        ready = (ftctl.home / "worker" / "ready.json").read_text()
        ftctl("adapters", "promote", "codeword", "v2", "--force", "--reason", "a trial")
        assert said(local, "codeword") == ("red", "codeword@v2")
        rolled = ftctl("adapters", "rollback", "codeword", "--reason", "red is wrong", "--json")
        assert rolled.json["version"] == "v1"
        assert said(local, "codeword") == ("blue", "codeword@v1")
        assert (ftctl.home / "worker" / "ready.json").read_text() == ready

        _verified(ftctl)
        _exported(ftctl, local, tmp_path)
    finally:
        app.close()
    shown = ftctl("adapters", "show", "codeword", "--json").json
    trail = conforms(shown, "adapter-moves")["moves"]
    conforms(moved.json, "adapter-moves")
    conforms(ftctl("adapters", "list", "--json").json, "adapters")
    conforms(ftctl("adapters", "show", "codeword@v2", "--json").json, "adapter")
    assert [(move["from"], move["to"]) for move in trail] == [
        (None, "v1"), ("v1", "v2"), ("v2", "v1"),
    ]  # fmt: skip
    assert trail[2]["reason"] == "red is wrong"


def _verified(ftctl: Ftctl) -> None:
    good = ftctl("adapters", "verify", "codeword", "--json")
    conforms(good.json, "adapter-verify")
    assert (good.code, good.json["ok"]) == (0, True), good.out
    assert {probe["shift"] for probe in good.json["probes"]} == {0.0}
    carried = Path(pytest.importorskip("ftctl_worker").__file__).parent / "base_models" / "tiny"
    other = ftctl.home / "other-base"
    shutil.copytree(carried, other)
    _disturb(other)
    bad = ftctl("adapters", "verify", "codeword", "--base", other, "--json")
    assert bad.code == 1
    found = {check["name"]: check["ok"] for check in bad.json["checks"]}
    assert found["base"] is False
    assert found["answers"] is False
    assert "probes answered as then" in bad.out


def _disturb(base: Path) -> None:
    """Other weights under the same shapes."""
    from safetensors.torch import load_file, save_file

    weights = load_file(base / "model.safetensors")
    changed = {name: value.flip(0).contiguous() for name, value in weights.items()}
    save_file(changed, base / "model.safetensors", metadata={"format": "pt"})


def _exported(ftctl: Ftctl, local: Provider, out: Path) -> None:
    assert ftctl("adapters", "export", "codeword@v2", out / "alone").code == 0
    assert said(local, str(out / "alone"))[0] == "red"
    merged = ftctl("adapters", "export", "codeword@v2", out / "merged", "--merged", "--json")
    assert "model.safetensors" in merged.json["files"], merged.err
    assert "README.md" in merged.json["files"]
    assert said(local, str(out / "merged"))[0] == "red"
    gguf = ftctl("adapters", "export", "codeword@v2", out / "gguf", "--gguf")
    assert gguf.code == 1
    assert "Export safetensors instead" in gguf.err
    assert not (out / "gguf").exists()

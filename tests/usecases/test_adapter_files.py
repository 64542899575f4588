"""Files that claim to be an adapter: what is refused, with its name, before anything loads it."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.errors import AdapterRefused
from orchestrator.usecases.adapters.files import check_files, check_weights
from tests.conftest import Ftctl
from tests.factories import adapter_folder, safetensors

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("adapter_model.bin", "can run code"), ("training_args.bin", "can run code"),
        ("x.PT", "can run code"), ("weights.pkl", "can run code"), ("modeling_x.py", "can run code"),
        ("more.zip", "archives"), ("more.tar.gz", "archives"), (".hidden", "does not belong"),
        ("tokenizer.json", "does not belong"), ("\x1b[2J", "does not belong"),
    ],
)  # fmt: skip
def test_a_foreign_file_is_refused_by_its_name(tmp_path: Path, name: str, why: str):
    folder = adapter_folder(tmp_path / "a")
    (folder / name).write_bytes(b"\x80\x04.")
    with pytest.raises(AdapterRefused, match=why) as caught:
        check_files(folder)
    assert "\x1b" not in caught.value.message


def test_links_folders_and_pipes_are_refused(tmp_path: Path):
    folder = adapter_folder(tmp_path / "a")
    (tmp_path / "elsewhere.md").write_text("secret")
    card = folder / "README.md"
    card.symlink_to(tmp_path / "elsewhere.md")
    with pytest.raises(AdapterRefused, match="link"):
        check_files(folder)
    card.unlink()
    card.mkdir()
    with pytest.raises(AdapterRefused, match="no file"):
        check_files(folder)
    card.rmdir()
    os.mkfifo(card)
    with pytest.raises(AdapterRefused, match="no file"):
        check_files(folder)


def header(value: Any, data: bytes = b"", *, length: int | None = None) -> bytes:
    told = value if isinstance(value, bytes) else json.dumps(value).encode()
    return struct.pack("<Q", len(told) if length is None else length) + told + data


def entry(dtype: Any = "F32", shape: Any = (1,), offsets: Any = (0, 4)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\x80\x04.", b"PK\x03\x04" + bytes(60),
        header({}), header([]), header(b"{"), header(b"[" * 100_000),
        header({"a": entry()}, b"1234", length=2**63), header({"a": entry()}, b"1234", length=10**7),
        header({"a": entry()}, b"123"), header({"a": entry()}, b"12345"),
        header({"a": entry(offsets=(0, 8))}, b"12345678"),
        header({"a": entry(), "b": entry()}, b"1234"),
        header({"a": entry(offsets=(4, 8))}, b"12345678"),
        header({"a": entry(dtype="I64", offsets=(0, 8))}, b"12345678"),
        header({"a": entry(shape=(-1,))}, b"1234"), header({"a": entry(shape=(1.0,))}, b"1234"),
        header({"a": entry(shape=(True,))}, b"1234"), header({"a": entry(offsets=(0, 4, 4))}, b"1234"),
        header({"a": entry(shape=(2**40, 2**40), offsets=(0, 4))}, b"1234"),
        header({"a": None}, b"1234"),
        header(b'{"a": {"dtype":"F32","shape":[1],"data_offsets":[0,4]},'
               b'"a": {"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', b"1234"),
        header({f"t{n}": entry(shape=(0,), offsets=(0, 0)) for n in range(100_001)}),
    ],
)  # fmt: skip
def test_a_header_that_lies_is_refused(tmp_path: Path, content: bytes):
    path = tmp_path / "adapter_model.safetensors"
    path.write_bytes(content)
    with pytest.raises(AdapterRefused):
        check_weights(path)


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
@pytest.mark.parametrize(
    ("dtype", "pack"),
    [
        ("F64", lambda v: struct.pack("<d", v)), ("F32", lambda v: struct.pack("<f", v)),
        ("F16", lambda v: struct.pack("<e", v)), ("BF16", lambda v: struct.pack("<f", v)[2:]),
    ],
)  # fmt: skip
def test_a_number_that_is_none_is_found_in_every_format(
    tmp_path: Path, dtype: str, pack: Any, bad: float
):
    path = tmp_path / "adapter_model.safetensors"
    for value, good in ((3.0, True), (bad, False)):
        content = pack(1.0) + pack(value) + pack(-2.0)
        path.write_bytes(safetensors({"layer.lora_A.weight": (dtype, (3,), content)}))
        if good:
            assert len(check_weights(path)) == 1
        else:
            with pytest.raises(AdapterRefused, match=r"layer\.lora_A\.weight"):
                check_weights(path)


@given(st.binary(max_size=200), st.integers(0, 400))
def test_damaged_files_are_refused_and_never_more(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, at: int
):
    path = tmp_path_factory.mktemp("f") / "adapter_model.safetensors"
    whole = safetensors({"a": ("F32", (4,), bytes(16)), "b": ("BF16", (2, 2), bytes(8))})
    path.write_bytes(whole[:at] + noise + whole[at + len(noise) :])
    try:
        check_weights(path)
    except AdapterRefused:
        pass


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"peft_type": "IA3"}, "LORA"), ({"r": 0}, "rank"), ({"r": "8"}, "rank"),
        ({"r": True}, "rank"), ({"megatron_config": {"x": 1}, "megatron_core": "os"}, "import"),
        ({"auto_mapping": {"parent_library": "os"}}, "import"),
    ],
)  # fmt: skip
def test_a_configuration_that_would_run_something_is_refused(
    tmp_path: Path, changes: dict[str, Any], why: str
):
    folder = adapter_folder(tmp_path / "a")
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | changes))
    with pytest.raises(AdapterRefused, match=why):
        check_files(folder)


def test_a_refusal_on_the_command_line_keeps_nothing(ftctl: Ftctl, tmp_path: Path):
    folder = adapter_folder(tmp_path / "a")
    (folder / "optimizer.pt").write_bytes(b"\x80\x04.")
    refused = ftctl("adapters", "push", folder, "--task", "tickets", "--no-probes")
    assert refused.code == 1
    assert "optimizer.pt" in refused.err
    assert "try:" in refused.err
    assert ftctl("adapters", "list", "--json").json == []
    assert not any((ftctl.home / "drafts").iterdir())

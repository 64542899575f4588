"""Merged weights answer as base and adapter did; so does a GGUF file, or it is not written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from ftctl_worker import cli
from ftctl_worker.errors import ModelError
from ftctl_worker.models import adapters
from ftctl_worker.models.bases import Catalog
from ftctl_worker.models.export import export
from ftctl_worker.models.loading import load_base
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.worker.test_lora import adapted, fresh

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
IDS = torch.tensor([[3, 40, 50, 4, 60, 70, 80]])


@pytest.fixture
def adapter(models_dir: Path, tmp_path: Path) -> Path:
    model = adapted(models_dir, 5)
    folder = tmp_path / "adapter"
    adapters.save(model, folder, base=str(models_dir / "mini"), name="n", job_id="j", step=1,
                  loss=0.0)  # fmt: skip
    return folder


def logits(model: Any) -> Any:
    with torch.no_grad():
        return model(IDS).logits


def expected(models_dir: Path, adapter: Path) -> Any:
    return logits(adapters.load(fresh(models_dir), adapter, "default"))


def test_merged_weights_answer_as_base_and_adapter(models_dir: Path, adapter: Path, tmp_path: Path):
    out = tmp_path / "merged"
    assert cli.main(["export", str(adapter), str(out), "--home", str(tmp_path)]) == 0
    merged = AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32)
    torch.testing.assert_close(logits(merged), expected(models_dir, adapter), rtol=1e-4, atol=1e-4)
    card = (out / "README.md").read_text()
    assert "in job `j`" in card
    assert card.count("\n# ") == 1
    assert not list(out.glob("*.bin"))
    before = sorted(tmp_path.iterdir())
    assert cli.main(["export", str(adapter), str(out)]) != 0
    assert sorted(tmp_path.iterdir()) == before


def test_a_gguf_file_comes_back_as_the_same_model(models_dir: Path, adapter: Path, tmp_path: Path):
    base = with_cutting(models_dir / "mini", tmp_path / "base")
    export(adapter, tmp_path / "out", base=str(base), cache=tmp_path, gguf=True)
    (file,) = (tmp_path / "out").glob("*.gguf")
    again = AutoModelForCausalLM.from_pretrained(
        file.parent, gguf_file=file.name, dtype=torch.float32
    )
    # Stored in fp16.
    torch.testing.assert_close(logits(again), expected(models_dir, adapter), rtol=0.02, atol=0.02)
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    own = AutoTokenizer.from_pretrained(base)
    text = "colour of sky 42?"
    assert tokenizer(text)["input_ids"] == own(text)["input_ids"]
    assert tokenizer.chat_template == own.chat_template


def with_cutting(source: Path, target: Path) -> Path:
    """The mini model with a tokenizer that cuts as SmolLM's does, and merges two letters."""
    AutoModelForCausalLM.from_pretrained(source).save_pretrained(target)
    AutoTokenizer.from_pretrained(source).save_pretrained(target)
    path = target / "tokenizer.json"
    plain = json.loads(path.read_text())
    cut = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    digits = {"type": "Digits", "individual_digits": True}
    plain["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [digits, cut]}
    vocabulary = plain["model"]["vocab"]
    vocabulary["ol"] = vocabulary.pop("ÿ")
    plain["model"]["merges"] = [["o", "l"]]
    path.write_text(json.dumps(plain))
    return target


def test_what_gguf_cannot_say_is_not_written(models_dir: Path, adapter: Path, tmp_path: Path):
    with pytest.raises(ModelError, match="cuts text"):
        export(adapter, tmp_path / "out", base=None, cache=tmp_path, gguf=True)
    assert not (tmp_path / "out").exists()


def test_an_adapter_that_does_not_fit_is_one_sentence(adapter: Path, tmp_path: Path):
    with pytest.raises(ModelError, match="cannot be loaded"):
        export(adapter, tmp_path / "out", base="tiny", cache=tmp_path)
    assert not (tmp_path / "out").exists()
    assert load_base(Catalog().resolve("tiny"), precision="fp32", cache=tmp_path).folder

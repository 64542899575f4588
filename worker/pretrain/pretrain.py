"""Pretrain `tiny` from nothing: one command, one seed, one thread, about an hour.

    python pretrain.py --run RUN --out OUT

RUN keeps the tokenizer and the checkpoint; the same command again goes on from there.
The run has stages: it starts on a long schedule, which was cut short as families were added to
the corpus (the dictionary after 1,200 steps, the intents after 2,300).
Matrices are trained by Muon (orthogonalised momentum, after K. Jordan's description of it), the
embedding and the norms by AdamW.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

import tokenizer as tokens
import torch
from corpus import document
from torch.nn import functional as F
from transformers import (
    AttentionInterface,
    AttentionMaskInterface,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerBase,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

BATCH_TOKENS = 4096
POOL_DOCUMENTS = 1024
LENGTHS = (32, 48, 64, 96, 128, 192, 256, 384, 512, 1024)
PROMPT_WEIGHT = 0.2
PLAIN_UP_TO = 384
FLOOR = 0.03
WARMUP = 100
SAVE_EVERY = 100


class Stage(NamedTuple):
    """A stretch of the run: a cosine from `peak` at `begin` to the floor at `steps`, left at `stop`."""

    stop: int
    steps: int
    begin: int = 0
    peak: float = 1.0

    def scale(self, step: int) -> float:
        """The factor on both learning rates at a step."""
        rise = min(1.0, (step + 1) / WARMUP)
        cosine = 0.5 * (1 + math.cos(math.pi * (step - self.begin) / (self.steps - self.begin)))
        return rise * (FLOOR + (self.peak - FLOOR) * cosine)


STAGES = (
    Stage(1200, 5500),
    Stage(2000, 4200),
    Stage(2300, 3500),
    Stage(2800, 3100, 2200, 0.5),
    Stage(3700, 3700, 2800, 0.35),
)


@dataclass(frozen=True)
class Recipe:
    """What a stage of a run depends on."""

    seed: int
    stage: Stage
    muon_lr: float
    adam_lr: float


class Muon:
    """Momentum whose matrix is orthogonalised before it is applied; like shapes in one batch."""

    def __init__(self, parameters: list[torch.nn.Parameter], momentum: float = 0.95) -> None:
        self.momentum = momentum
        self.groups: dict[torch.Size, list[torch.nn.Parameter]] = {}
        for parameter in parameters:
            self.groups.setdefault(parameter.shape, []).append(parameter)
        self.buffers = {
            shape: torch.zeros(len(group), *shape) for shape, group in self.groups.items()
        }

    @torch.no_grad()
    def step(self, lr: float, decay: float = 0.02) -> None:
        """One update of all matrices."""
        for shape, group in self.groups.items():
            gradient = torch.stack([p.grad for p in group if p.grad is not None])
            buffer = self.buffers[shape].lerp_(gradient, 1 - self.momentum)
            update = orthogonal(gradient.lerp(buffer, self.momentum))
            size = max(1.0, shape[0] / shape[1]) ** 0.5
            for parameter, change in zip(group, update.unbind(), strict=True):
                parameter.mul_(1 - lr * decay).add_(change.float(), alpha=-lr * size)


def orthogonal(matrices: torch.Tensor, rounds: int = 5) -> torch.Tensor:
    """The matrices [n, rows, columns] with all singular values drawn near 1 (Newton-Schulz)."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrices.bfloat16()
    tall = x.size(1) > x.size(2)
    x = x.mT if tall else x
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(rounds):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


def build(vocabulary: int, pad: int, end: int) -> LlamaForCausalLM:
    """The untrained model."""
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=6,
        num_attention_heads=6,
        num_key_value_heads=2,
        max_position_embeddings=tokens.POSITIONS,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=end,
        pad_token_id=pad,
        use_cache=True,
    )
    return LlamaForCausalLM(config)


@dataclass
class Feed:
    """Batches without end; its place is two numbers and the step at which the pool was made."""

    tokenizer: PreTrainedTokenizerBase
    recipe: Recipe
    pool: int = 0
    taken: int = 0
    made_at: int = 0

    def batches(self, step: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Ids [rows, length] and loss weights of the same shape, from where the feed stands."""
        resumed = self.taken > 0
        while True:
            self.made_at = self.made_at if resumed else step
            resumed = False
            batches = self.make()
            while self.taken < len(batches):
                self.taken += 1
                step += 1
                yield self.padded(batches[self.taken - 1])
            self.pool, self.taken = self.pool + 1, 0

    def make(self) -> list[list[list[int]]]:
        """The documents of this pool in batches of like length, in shuffled order."""
        progress = self.made_at / self.recipe.stage.steps
        longest = LENGTHS[-1] if progress > 0.55 else 512
        first = self.pool * POOL_DOCUMENTS
        texts = [
            self.tokenizer.apply_chat_template(
                document(self.recipe.seed, index, progress), tokenize=False
            )
            for index in range(first, first + POOL_DOCUMENTS)
        ]
        encoded: Any = self.tokenizer(texts, add_special_tokens=False)["input_ids"]
        rows = sorted((ids for ids in encoded if len(ids) <= longest), key=len, reverse=True)
        batches: list[list[list[int]]] = []
        while rows:
            count = max(1, BATCH_TOKENS // fitting(len(rows[0])))
            batches.append(rows[:count])
            rows = rows[count:]
        Random(f"{self.recipe.seed}/{self.pool}").shuffle(batches)
        return batches

    def padded(self, rows: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows as one tensor of a fixed shape, with the weight of each id as a target."""
        length = fitting(max(len(row) for row in rows))
        pad: Any = self.tokenizer.pad_token_id
        ids = torch.full((BATCH_TOKENS // length, length + 1), pad)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = torch.tensor(row)
        return ids, self.weights(ids)

    def weights(self, ids: torch.Tensor) -> torch.Tensor:
        """1 for what an assistant says (its end too), 0 for padding, a little for the rest."""
        vocabulary: Any = self.tokenizer.convert_tokens_to_ids(list(tokens.SPECIAL))
        pad, end, *_ = vocabulary
        speaks = ids == self.tokenizer.convert_tokens_to_ids("<|assistant|>")
        marks = torch.where(speaks | (ids == end), torch.arange(ids.size(1)) + 1, 0)
        last = marks.cummax(1).values.roll(1, 1)
        last[:, 0] = 0
        within = speaks.gather(1, (last - 1).clamp(min=0)) & (last > 0)
        weights = torch.full(ids.shape, PROMPT_WEIGHT)
        weights[within] = 1.0
        weights[ids == pad] = 0.0
        return weights


def fitting(length: int) -> int:
    """The smallest shape that holds a length: few shapes keep the memory of the process flat."""
    return next(size for size in LENGTHS if size >= length)


def attention(
    _module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    _mask: torch.Tensor | None,
    scaling: float,
    **_: object,
) -> tuple[torch.Tensor, None]:
    """Causal attention; for short rows written out, which the compiler makes faster on a CPU.

    Query [rows, heads, length, width]; key and value with fewer heads. Rows are padded on the
    right, so that the causal order alone keeps padding out of sight.
    """
    groups = query.size(1) // key.size(1)
    key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    length = query.size(2)
    if length > PLAIN_UP_TO:
        seen = F.scaled_dot_product_attention(query, key, value, is_causal=True, scale=scaling)
    else:
        later = torch.ones(length, length, dtype=torch.bool, device=query.device).triu(1)
        scores = (query @ key.mT * scaling).masked_fill(later, float("-inf"))
        seen = scores.float().softmax(-1).to(value.dtype) @ value
    return seen.transpose(1, 2).contiguous(), None


def losses(
    model: LlamaForCausalLM, ids: torch.Tensor, weights: torch.Tensor, step: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """The weighted loss to descend, and the plain mean loss on answers to look at.

    Every other prompt token stands in for its neighbour, turn about, which spares logits.
    """
    targets, weights = ids[:, 1:], weights[:, 1:]
    turn = (torch.arange(targets.size(1)) + step) % 2 == 0
    weights = torch.where(weights < 1, weights * 2 * turn, weights)
    wanted = weights > 0
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = model.model(input_ids=ids[:, :-1], use_cache=False).last_hidden_state
        logits = model.lm_head(hidden[wanted])
    each = F.cross_entropy(logits.float(), targets[wanted], reduction="none")
    weight = weights[wanted]
    answers = each.detach()[weight == 1.0]
    return (each * weight).sum() / weight.sum(), answers.mean()


def main() -> None:
    """Train, or go on training, and write the model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--steps", type=int, help="one stage of so many steps instead of the plan")
    parser.add_argument("--muon-lr", type=float, default=1.2e-2)
    parser.add_argument("--adam-lr", type=float, default=4e-3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch._dynamo.config.recompile_limit = 64
    AttentionInterface.register("by_length", attention)
    AttentionMaskInterface.register("by_length", lambda *_, **__: None)
    for stage in (Stage(args.steps, args.steps),) if args.steps else STAGES:
        train(Recipe(args.seed, stage, args.muon_lr, args.adam_lr), args.run, args.out)


def train(recipe: Recipe, run: Path, out: Path) -> None:
    """Go on from the checkpoint of the run, or from nothing, until the stage is done."""
    torch.manual_seed(recipe.seed)
    run.mkdir(parents=True, exist_ok=True)
    if not (run / "tokenizer.json").exists():
        tokens.train(recipe.seed).save_pretrained(run)
    tokenizer = AutoTokenizer.from_pretrained(run)
    model = build(len(tokenizer), tokenizer.pad_token_id, tokenizer.eos_token_id)
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    others = [p for n, p in model.named_parameters() if p.ndim < 2 or "embed" in n]
    model.set_attn_implementation("by_length")
    model.model.compile(dynamic=False)
    muon = Muon(matrices)
    adam = torch.optim.AdamW(others, recipe.adam_lr, betas=(0.9, 0.95), weight_decay=0, fused=True)
    feed = Feed(tokenizer, recipe)
    start = 0
    if (run / "state.pt").exists():
        state = torch.load(run / "state.pt", weights_only=True)
        model.load_state_dict(state["model"])
        adam.load_state_dict(state["adam"])
        muon.buffers = dict(zip(muon.buffers, state["muon"], strict=True))
        start, feed.pool, feed.taken, feed.made_at = state["place"]
    seen, answer, since = 0, 0.0, time.monotonic()
    batches = feed.batches(start)
    for step in range(start, recipe.stage.stop):
        ids, weights = next(batches)
        loss, answers = losses(model, ids, weights, step)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(others, 1.0, foreach=True)
        scale = recipe.stage.scale(step)
        for group in adam.param_groups:
            group["lr"] = recipe.adam_lr * scale
        adam.step()
        muon.step(recipe.muon_lr * scale)
        model.zero_grad(set_to_none=True)
        seen += int((weights > 0).sum())
        answer += float(answers)
        if (step + 1) % 20 == 0:
            rate = seen / (time.monotonic() - since)
            sys.stdout.write(
                f"step {step + 1} of {recipe.stage.steps}  answer loss {answer / 20:.3f}  "
                f"loss {float(loss.detach()):.3f}  {rate:.0f} tokens/s\n"
            )
            sys.stdout.flush()
            seen, answer, since = 0, 0.0, time.monotonic()
        if (step + 1) % SAVE_EVERY == 0 or step + 1 == recipe.stage.stop:
            state = {
                "model": model.state_dict(),
                "adam": adam.state_dict(),
                "muon": list(muon.buffers.values()),
                "place": (step + 1, feed.pool, feed.taken, feed.made_at),
            }
            torch.save(state, run / "state.new")
            (run / "state.new").replace(run / "state.pt")
            write(model, tokenizer, out)
    write(model, tokenizer, out)


def write(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerBase, out: Path) -> None:
    """The model folder, in bfloat16, with settings that any release of the library can read."""
    small = build(model.config.vocab_size, model.config.pad_token_id, model.config.eos_token_id)
    small.load_state_dict(model.state_dict())
    small.to(torch.bfloat16).save_pretrained(out)
    tokenizer.save_pretrained(out)
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": tokens.POSITIONS,
        "eos_token": tokens.END,
        "pad_token": tokens.PAD,
        "additional_special_tokens": [f"<|{role}|>" for role in tokens.ROLES],
        "clean_up_tokenization_spaces": False,
    }
    text = json.dumps(settings, indent=2) + "\n"
    (out / "tokenizer_config.json").write_text(text, encoding="utf-8")
    (out / "model.safetensors").chmod(0o644)


if __name__ == "__main__":
    main()

"""Measure a base model: what it can untuned, with shots, and after LoRA, on held-out tickets.

    python evaluate.py MODEL --seeds 1 2 3
    python evaluate.py MODEL --skills 200          the corpus' own families, on unseen documents
    python evaluate.py MODEL --overlap 50000       words in a row that corpus and tickets share

A data seed gives the cut of the phrases and the rows. The learning rate is chosen per seed on the
validation rows; the test rows are then looked at once. Prints a table, and JSON with `--json FILE`.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import runpy
import time
from collections import Counter, defaultdict
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from corpus import FAMILIES, LAST, LATER, Messages, document
from peft import LoraConfig, get_peft_model
from torch.nn import functional as F
from transformers import AutoModelForCausalLM, AutoTokenizer

if TYPE_CHECKING:
    from collections.abc import Sequence

TICKETS = Path(__file__).parents[2] / "orchestrator" / "datasets" / "tickets.py"
UNSEEN_SEED = 90_001
ANSWER_TOKENS = 24

Row = dict[str, Messages]


class Tuned(NamedTuple):
    """A tuned model, and what it cost."""

    model: Any
    cpu_seconds: float
    tokens: int


def load(folder: Path) -> tuple[Any, Any]:
    """The base model in float32, and its tokenizer."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return model.eval(), AutoTokenizer.from_pretrained(folder)


@torch.inference_mode()
def answers(model: Any, tokenizer: Any, prompts: Sequence[Messages], batch: int = 40) -> list[str]:
    """The greedy answers to chats that end before an assistant turn."""
    texts = [
        tokenizer.apply_chat_template(p, tokenize=False, add_generation_prompt=True)
        for p in prompts
    ]
    said: list[str] = []
    for start in range(0, len(texts), batch):
        part = tokenizer(
            texts[start : start + batch], return_tensors="pt", padding=True, padding_side="left"
        )
        ids = model.generate(**part, max_new_tokens=ANSWER_TOKENS, do_sample=False)
        new = ids[:, part["input_ids"].size(1) :]
        said += tokenizer.batch_decode(new, skip_special_tokens=True)
    return said


def exact(model: Any, tokenizer: Any, rows: Sequence[Row], shots: Messages | None = None) -> float:
    """The share of rows whose last message the model gives word for word."""
    prompts = [[row["messages"][0], *(shots or []), *row["messages"][1:-1]] for row in rows]
    said = answers(model, tokenizer, prompts)
    hits = [s.strip() == r["messages"][-1]["content"] for s, r in zip(said, rows, strict=True)]
    return sum(hits) / len(hits)


def shots_of(rows: Sequence[Row], rng: Random) -> Messages:
    """One training row of each label as turns, in random order."""
    by_label: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_label[row["messages"][-1]["content"]].append(row)
    chosen = [rng.choice(group) for group in by_label.values()]
    rng.shuffle(chosen)
    return [message for row in chosen for message in row["messages"][1:]]


def encoded(tokenizer: Any, row: Row) -> tuple[list[int], int]:
    """The ids of a row, and how many of them are prompt."""
    *head, _ = row["messages"]
    prompt = tokenizer.apply_chat_template(head, tokenize=False, add_generation_prompt=True)
    full = tokenizer.apply_chat_template(row["messages"], tokenize=False)
    return tokenizer(full)["input_ids"], len(tokenizer(prompt)["input_ids"])


def tune(
    folder: Path, rows: Sequence[Row], rate: float, epochs: int, batch: int, seed: int
) -> Tuned:
    """LoRA on all linear layers: AdamW, a short rise, half a cosine, loss on answers only."""
    torch.manual_seed(seed)
    base, tokenizer = load(folder)
    config = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
    model: Any = get_peft_model(base, config).train()
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, rate, weight_decay=0.0, fused=True)
    data = [encoded(tokenizer, row) for row in rows]
    total = epochs * math.ceil(len(data) / batch)
    warmup = max(1, round(total * 0.05))
    rng, step, seen, began = Random(seed), 0, 0, time.process_time()
    for _ in range(epochs):
        rng.shuffle(data)
        for start in range(0, len(data), batch):
            part = data[start : start + batch]
            ids = torch.full((len(part), max(len(i) for i, _ in part)), tokenizer.pad_token_id)
            wanted = torch.zeros(ids.shape, dtype=torch.bool)
            for i, (one, prompt) in enumerate(part):
                ids[i, : len(one)] = torch.tensor(one)
                wanted[i, prompt : len(one)] = True
                seen += len(one)
            hidden = base.model(input_ids=ids[:, :-1], use_cache=False).last_hidden_state
            logits = base.lm_head(hidden[wanted[:, 1:]])
            F.cross_entropy(logits, ids[:, 1:][wanted[:, 1:]]).backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            rise = (step + 1) / warmup
            fall = 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))
            for group in optimizer.param_groups:
                group["lr"] = rate * (rise if step < warmup else fall)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            step += 1
    return Tuned(model.eval(), time.process_time() - began, seen)


def word_counts(train: Sequence[Row], test: Sequence[Row]) -> float:
    """What naive Bayes over words gets right: the mark that a model has to beat."""
    seen: dict[str, Counter[str]] = defaultdict(Counter)
    sizes = Counter(row["messages"][-1]["content"] for row in train)
    for row in train:
        seen[row["messages"][-1]["content"]].update(set(word_list(row["messages"][1]["content"])))
    known = set().union(*seen.values())

    def guess(text: str) -> str:
        found = set(word_list(text)) & known
        return max(
            sizes,
            key=lambda x: sum(math.log((seen[x][w] + 0.5) / (sizes[x] + 1)) for w in found),
        )

    hits = [guess(r["messages"][1]["content"]) == r["messages"][-1]["content"] for r in test]
    return sum(hits) / len(hits)


def ticket_table(args: argparse.Namespace) -> dict[str, Any]:
    """All figures on the tickets, printed as they come."""
    tickets = runpy.run_path(str(TICKETS))["tickets"]
    base, tokenizer = load(args.model)
    results = []
    print(
        "| data seed | zero-shot | 6-shot | word counts | LoRA | LoRA on its training rows | learning rate | ",
        end="",
    )
    print("validation by rate | CPU-s |\n|---|---|---|---|---|---|---|---|---|")
    for seed in args.seeds:
        data = tickets(seed)
        zero = exact(base, tokenizer, data.test)
        orders = [
            exact(base, tokenizer, data.test, shots_of(data.train, Random(i))) for i in range(3)
        ]
        tried = {
            rate: tune(args.model, data.train, rate, args.epochs, args.batch, seed)
            for rate in args.rates
        }
        valid = {rate: exact(t.model, tokenizer, data.validation) for rate, t in tried.items()}
        best = max(args.rates, key=lambda rate: valid[rate])
        tuned = tried[best]
        result = {
            "seed": seed,
            "zero_shot": zero,
            "few_shot": sum(orders) / len(orders),
            "few_shot_each": orders,
            "word_counts": word_counts(data.train, data.test),
            "lora": exact(tuned.model, tokenizer, data.test),
            "lora_train": exact(tuned.model, tokenizer, data.train),
            "rate": best,
            "validation": valid,
            "cpu_seconds": tuned.cpu_seconds,
            "tokens": tuned.tokens,
        }
        results.append(result)
        by_rate = ", ".join(f"{rate:g}: {valid[rate]:.3f}" for rate in args.rates)
        print(
            f"| {seed} | {zero:.3f} | {result['few_shot']:.3f} | "
            f"{result['word_counts']:.3f} | {result['lora']:.3f} | "
            f"{result['lora_train']:.3f} | {best:g} | {by_rate} | {tuned.cpu_seconds:.1f} |",
            flush=True,
        )
    columns = ("zero_shot", "few_shot", "word_counts", "lora", "lora_train")
    means = {c: sum(r[c] for r in results) / len(results) for c in columns}
    print("| mean |" + "".join(f" {means[c]:.3f} |" for c in columns) + " | | |")
    return {"tickets": results, "means": means}


def skill_table(args: argparse.Namespace) -> dict[str, Any]:
    """The share of last answers given word for word, by family, on documents never trained on."""
    model, tokenizer = load(args.model)
    shares = {}
    print("| family | exact |\n|---|---|")
    for family in FAMILIES + LATER + LAST:
        name = family.make.__name__
        rows: list[Row] = [
            {"messages": family.make(Random(f"{UNSEEN_SEED}/{name}/{i}"), 1.0)}
            for i in range(args.skills)
        ]
        prompts = [row["messages"][:-1] for row in rows]
        said = answers(model, tokenizer, prompts)
        wanted = [row["messages"][-1]["content"] for row in rows]
        shares[name] = sum(s.strip() == w for s, w in zip(said, wanted, strict=True)) / len(rows)
        print(f"| {name} | {shares[name]:.2f} |", flush=True)
    return {"skills": shares}


def overlap(args: argparse.Namespace) -> dict[str, Any]:
    """The longest runs of words that a ticket phrase shares with the corpus, over all phrases."""
    module = runpy.run_path(str(TICKETS))
    phrases = [p for label in module["BODIES"].values() for ways in label for p in ways]
    seen: set[str] = set()
    for index in range(args.overlap):
        for message in document(args.corpus_seed, index, index / args.overlap):
            seen.update(runs(message["content"]))
    longest = {p: max((len(r.split()) for r in runs(p) if r in seen), default=0) for p in phrases}
    counts = {n: sum(v == n for v in longest.values()) for n in sorted(set(longest.values()))}
    whole = [p for p in phrases if longest[p] >= len(word_list(p))]
    print(f"longest shared run of words -> phrases (of {len(phrases)}): {counts}; whole: {whole}")
    print("the longest: " + "; ".join(sorted(phrases, key=lambda p: -longest[p])[:8]))
    return {"overlap": counts, "whole": whole}


def word_list(text: str) -> list[str]:
    """The words of a text, in small letters."""
    return re.findall(r"[a-z0-9{}']+", text.lower())


def runs(text: str) -> set[str]:
    """All runs of one to eight words of a text."""
    parts = word_list(text)
    return {
        " ".join(parts[i : i + size]) for size in range(1, 9) for i in range(len(parts) - size + 1)
    }


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--rates", type=float, nargs="+", default=[3e-3, 5e-3, 8e-3])
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--skills", type=int, default=0)
    parser.add_argument("--overlap", type=int, default=0)
    parser.add_argument("--corpus-seed", type=int, default=11)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    ask = skill_table if args.skills else overlap if args.overlap else ticket_table
    result = ask(args)
    if args.json:
        args.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

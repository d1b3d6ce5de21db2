"""Trains the model of a run of llamero in PyTorch, on the same batches, and compares the losses.

    python scripts/parity/train_pytorch.py init CONFIG.json FOLDER   random weights, as a Hugging Face folder
    llamero train --out RUN --init FOLDER --tokenizer TOKENIZER ...   (f32, no dropout, document mask off)
    deno run -A scripts/parity/training_batches.ts RUN BATCHES.bin
    python scripts/parity/train_pytorch.py compare RUN FOLDER BATCHES.bin [--steps N]

Needs torch, transformers and numpy; nothing in the repository needs this script. Ends with 1 where the mean
loss of the last tenth of the steps differs by more than one percent.
"""

import argparse
import json
import pathlib
import sys
import tomllib

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

TOLERANCE = 0.01


def make_initial(config: str, folder: str) -> None:
    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(**json.loads(pathlib.Path(config).read_text()))).save_pretrained(folder)


def optimizer_of(model: torch.nn.Module, settings: dict) -> torch.optim.Optimizer:
    """AdamW that decays matrices and no norms, as the run does."""
    decayed = [p for p in model.parameters() if p.dim() > 1]
    plain = [p for p in model.parameters() if p.dim() == 1]
    groups = [{"params": decayed, "weight_decay": settings["weight-decay"]}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=0.0, betas=(settings["beta1"], settings["beta2"]), eps=settings["eps"])


def compare(run: pathlib.Path, folder: str, batches: str, limit: int | None) -> int:
    settings = tomllib.loads((run / "config.toml").read_text())
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()][:limit]
    length, micro = settings["seq-len"], settings["micro-batch"]
    sequences = settings["batch-tokens"] // length
    data = np.memmap(batches, dtype="<i4", mode="r").reshape(-1, 2, sequences, length)
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    optimizer = optimizer_of(model, settings)
    losses = []
    for step, row in enumerate(rows):
        for group in optimizer.param_groups:
            group["lr"] = row["lr"]
        tokens, targets = (torch.from_numpy(part.astype(np.int64)) for part in data[step])
        total = 0.0
        for at in range(0, sequences, micro):
            logits = model(tokens[at : at + micro]).logits
            loss = torch.nn.functional.cross_entropy(
                logits.flatten(0, 1), targets[at : at + micro].flatten(), reduction="sum"
            ) / targets.numel()
            loss.backward()
            total += loss.item()
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings["clip"])
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(total)
        print(f"step {row['step']}: llamero {row['loss']:.5f}, PyTorch {total:.5f}", flush=True)
    tail = max(1, len(rows) // 10)
    ours, theirs = (float(np.mean(list(x)[-tail:])) for x in ((r["loss"] for r in rows), losses))
    difference = abs(ours / theirs - 1)
    print(f"last {tail} steps: llamero {ours:.5f}, PyTorch {theirs:.5f}, {100 * difference:.3f}% apart")
    return 0 if difference <= TOLERANCE else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    initial = commands.add_parser("init")
    initial.add_argument("config")
    initial.add_argument("folder")
    against = commands.add_parser("compare")
    against.add_argument("run", type=pathlib.Path)
    against.add_argument("folder")
    against.add_argument("batches")
    against.add_argument("--steps", type=int)
    given = parser.parse_args()
    if given.command == "init":
        make_initial(given.config, given.folder)
        return 0
    return compare(given.run, given.folder, given.batches, given.steps)


if __name__ == "__main__":
    sys.exit(main())

"""PyTorch's side of scripts/parity/compare.ts; needs torch, transformers and numpy.

    train_pytorch.py init CONFIG.json FOLDER     random weights, as a Hugging Face folder
    train_pytorch.py train RUN FOLDER BATCHES LOSSES.json [--threads N]
        the model in FOLDER on the batches that training_batches.ts wrote of a run of llamero, with the
        run's recipe; the losses of all steps and that of the held-out sequences go to LOSSES.json
"""

import argparse
import json
import pathlib
import tomllib

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM


def make_initial(config: str, folder: str) -> None:
    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(**json.loads(pathlib.Path(config).read_text()))).save_pretrained(folder)


def optimizer_of(model: torch.nn.Module, settings: dict) -> torch.optim.Optimizer:
    """AdamW that decays matrices and no norms, as the run does."""
    decayed = [p for p in model.parameters() if p.dim() > 1]
    plain = [p for p in model.parameters() if p.dim() == 1]
    groups = [{"params": decayed, "weight_decay": settings["weight-decay"]}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=0.0, betas=(settings["beta1"], settings["beta2"]), eps=settings["eps"])


def sequences_of(batches: pathlib.Path, sequences: int, length: int) -> np.ndarray:
    """[batches, 2, sequences, length]: tokens and targets."""
    return np.fromfile(batches, dtype="<i4").reshape(-1, 2, sequences, length).astype(np.int64)


def summed_loss(model: torch.nn.Module, tokens: np.ndarray, targets: np.ndarray) -> torch.Tensor:
    logits = model(torch.from_numpy(tokens)).logits.flatten(0, 1)
    return torch.nn.functional.cross_entropy(logits, torch.from_numpy(targets).flatten(), reduction="sum")


def train(run: pathlib.Path, folder: str, batches: pathlib.Path, out: pathlib.Path) -> None:
    settings = tomllib.loads((run / "config.toml").read_text())
    rates = json.loads((batches / "rates.json").read_text())
    length, micro = settings["seq-len"], settings["micro-batch"]
    sequences = settings["batch-tokens"] // length
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    optimizer = optimizer_of(model, settings)
    losses = []
    for rate, (tokens, targets) in zip(rates, sequences_of(batches / "train.i32", sequences, length)):
        for group in optimizer.param_groups:
            group["lr"] = rate
        total = 0.0
        for at in range(0, sequences, micro):
            part = slice(at, at + micro)
            loss = summed_loss(model, tokens[part], targets[part]) / targets.size
            loss.backward()
            total += loss.item()
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings["clip"])
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(total)
        print(f"PyTorch: step {len(losses)}/{len(rates)}  loss {total:.4f}", flush=True)
    held_out = sequences_of(batches / "eval.i32", 1, length)
    with torch.no_grad():
        ce = sum(summed_loss(model, tokens, targets).item() for tokens, targets in held_out)
    evaluated = ce / held_out[:, 1].size if len(held_out) else None
    out.write_text(json.dumps({"version": torch.__version__, "losses": losses, "eval_loss": evaluated}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    initial = commands.add_parser("init")
    initial.add_argument("config")
    initial.add_argument("folder")
    trained = commands.add_parser("train")
    trained.add_argument("run", type=pathlib.Path)
    trained.add_argument("folder")
    trained.add_argument("batches", type=pathlib.Path)
    trained.add_argument("out", type=pathlib.Path)
    trained.add_argument("--threads", type=int)
    given = parser.parse_args()
    if given.command == "init":
        make_initial(given.config, given.folder)
        return
    if given.threads:
        torch.set_num_threads(given.threads)
    train(given.run, given.folder, given.batches, given.out)


main()

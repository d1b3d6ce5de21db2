"""Training speed of PyTorch on a Llama, for scripts/bench/{train,gpu}.ts; needs torch alone.

usage: train_pytorch.py DIM HIDDEN LAYERS HEADS VOCAB BATCH SEQ DTYPE STEPS THREADS [DEVICE KV_HEADS TIED]
On the device "cuda" the model is compiled and its attention is PyTorch's best.
Prints one JSON object: tokens per second at the median of the steps, after two that do not count.
"""

import json
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

D, HIDDEN, LAYERS, HEADS, VOCAB, B, T = map(int, sys.argv[1:8])
DTYPE, STEPS, THREADS = sys.argv[8], int(sys.argv[9]), int(sys.argv[10])
DEVICE = sys.argv[11] if len(sys.argv) > 11 else "cpu"
KV_HEADS = int(sys.argv[12]) if len(sys.argv) > 12 else HEADS
TIED = len(sys.argv) <= 13 or sys.argv[13] == "tied"
E = D // HEADS


class Norm(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(D))

    def forward(self, x):
        return F.rms_norm(x, (D,), self.weight, 1e-5)


def linear(inputs, outputs):
    return nn.Linear(inputs, outputs, bias=False)


def rotate(x, cos, sin):
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = Norm(), Norm()
        # Products side by side as one: the fastest way to say it in PyTorch, as ours does.
        self.qkv, self.out = linear(D, (HEADS + 2 * KV_HEADS) * E), linear(D, D)
        self.gate_up, self.down = linear(D, 2 * HIDDEN), linear(HIDDEN, D)

    def forward(self, x, cos, sin):
        rows = self.qkv(self.norm1(x)).view(B, T, HEADS + 2 * KV_HEADS, E).transpose(1, 2)
        q, k, v = rows.split((HEADS, KV_HEADS, KV_HEADS), 1)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        heads = F.scaled_dot_product_attention(
            q, k, v, is_causal=True, enable_gqa=KV_HEADS != HEADS
        )
        x = x + self.out(heads.transpose(1, 2).reshape(B, T, D))
        gate, up = self.gate_up(self.norm2(x)).chunk(2, -1)
        return x + self.down(F.silu(gate) * up)


class Llama(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(VOCAB, D)
        nn.init.normal_(self.embedding.weight, std=0.02)
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm = Norm()
        angles = torch.outer(torch.arange(T), 10000.0 ** (-torch.arange(0, E, 2) / E))
        self.head = None if TIED else linear(D, VOCAB)
        self.register_buffer("cos", angles.cos())
        self.register_buffer("sin", angles.sin())

    def forward(self, ids):
        x = self.embedding(ids)
        for block in self.blocks:
            x = block(x, self.cos, self.sin)
        return F.linear(self.norm(x), (self.embedding if TIED else self.head).weight)


def main():
    torch.set_num_threads(THREADS)
    torch.manual_seed(1)
    model = Llama().to(DEVICE)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=5e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True
    )
    run = torch.compile(model) if DEVICE == "cuda" else model
    ids, targets = torch.randint(0, VOCAB, (2, B, T), device=DEVICE)
    wall, cpu = [], []
    for step in range(STEPS + 2):
        wall_start, cpu_start = time.perf_counter(), time.process_time()
        with torch.autocast(DEVICE, torch.bfloat16, enabled=DTYPE == "bf16"):
            logits = run(ids)
            loss = F.cross_entropy(logits.view(-1, VOCAB).float(), targets.view(-1))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if DEVICE == "cuda":
            torch.cuda.synchronize()
        if step >= 2:
            wall.append(time.perf_counter() - wall_start)
            cpu.append(time.process_time() - cpu_start)
    median = sorted(wall)[len(wall) // 2]
    print(
        json.dumps(
            {
                "tokens_per_second": B * T / median,
                "tokens_per_cpu_second": B * T / sorted(cpu)[len(cpu) // 2],
                "version": torch.__version__,
            }
        )
    )


main()

"""Pre-training in equal time on the same text: bits per byte on the held-out tenth.

    python -m benchmarks.pretrain [--quick] [--json]

Three sides, four minutes each (half of one in `make bench`), one after the other, each in a process of its own:

    rlscratch               `rlscratch pretrain --minutes 4` as it is; measuring and saving count as time
    torch, plain settings   what a first loop in PyTorch is: bytes, AdamW at its defaults and 3e-4, no schedule,
                            no clipping, nn.Linear and scaled_dot_product_attention, the same shape of model
    torch, our settings     the same loop with our tokenizer, step sizes, decay, dropout and clipping

The second difference is one of settings, the first minus the last one of speed.  PyTorch's sides are measured
after their time is over, in the same windows.  Without PyTorch our side is compared with what a 2-gram needs.
--quick is our side alone, for three seconds.
"""
import argparse
import json
import subprocess
import sys
import tempfile
import time
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks import sides
from rlscratch.train.pretraining import bits_per_byte, n_gram, pretrain, text
from rlscratch.train.pretraining.corpus import Corpus

TITLE = "Pre-training in equal time, bits per byte on the held-out tenth"


def defaults() -> argparse.Namespace:
    """Of `rlscratch pretrain`."""
    parser = argparse.ArgumentParser()
    pretrain.add_arguments(parser)
    return parser.parse_args([])


def ours(minutes: float) -> dict[str, Any]:
    """The command."""
    with tempfile.TemporaryDirectory() as folder:
        ran = subprocess.run([sys.executable, "-m", "rlscratch", "pretrain", "--minutes", str(minutes), "--json",
                              "--quiet", "--run-dir", folder], check=True, capture_output=True, text=True)
    result = json.loads(ran.stdout.splitlines()[-1])
    return {"bits": result["held_out_bits_per_byte"], "steps": result["steps"]}


def torchs(minutes: float, plain: bool) -> dict[str, Any]:
    """The loop in PyTorch, in this process."""
    import torch
    from torch import nn
    from torch.nn import functional

    o = defaults()
    T, C, dropout = o.context, o.width, 0.0 if plain else o.dropout
    corpus = Corpus.of(text.reference(), "bytes" if plain else o.tokenizer, o.vocab_size)

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.ln_1, self.ln_2 = nn.LayerNorm(C), nn.LayerNorm(C)
            self.attn, self.proj = nn.Linear(C, 3 * C), nn.Linear(C, C)
            self.fc, self.out, self.drop = nn.Linear(C, 4 * C), nn.Linear(4 * C, C), nn.Dropout(dropout)

        def forward(self, x: Any) -> Any:
            q, k, v = self.attn(self.ln_1(x)).unflatten(-1, (3, o.heads, -1)).permute(2, 0, 3, 1, 4)
            a = functional.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
            x = x + self.drop(self.proj(a))
            return x + self.drop(self.out(functional.gelu(self.fc(self.ln_2(x)), approximate="tanh")))

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.wte, self.wpe = nn.Embedding(corpus.tokenizer.vocab_size, C), nn.Embedding(T, C)
            self.blocks, self.ln = nn.Sequential(*(Block() for _ in range(o.layers))), nn.LayerNorm(C)
            self.drop = nn.Dropout(dropout)
            for part in (self.wte, self.wpe):
                nn.init.normal_(part.weight, 0, 0.02)

        def forward(self, tokens: Any) -> Any:
            x = self.drop(self.wte(tokens) + self.wpe(torch.arange(tokens.shape[1])))
            return self.ln(self.blocks(x)) @ self.wte.weight.T

    torch.manual_seed(0)
    model, rng = Model(), np.random.default_rng(0)
    decayed = [p for p in model.parameters() if p.ndim > 1], [p for p in model.parameters() if p.ndim == 1]
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4) if plain else torch.optim.AdamW(
        [{"params": decayed[0]}, {"params": decayed[1], "weight_decay": 0.0}], betas=pretrain.BETAS,
        weight_decay=o.weight_decay)
    schedule = pretrain.Schedule(None, minutes, o.lr, o.warmup)
    while schedule.share < 1:
        tokens = torch.tensor(text.windows(corpus.learned, T, o.batch, rng))
        optimizer.zero_grad()
        functional.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten()).backward()
        if not plain:
            nn.utils.clip_grad_norm_(model.parameters(), pretrain.LONGEST_GRADIENT)
            for group in optimizer.param_groups:
                group["lr"] = schedule.rate()
        optimizer.step()
        schedule.step += 1

    def logp(tokens: np.ndarray) -> Any:
        with torch.no_grad():
            every = functional.log_softmax(model(torch.tensor(tokens)), -1)[:, :-1]
            chosen = every.gather(-1, torch.tensor(tokens)[:, 1:, None])[..., 0]
        return SimpleNamespace(data=np.pad(chosen.numpy(), ((0, 0), (1, 0))))

    model.eval()
    return {"bits": corpus.held_out(SimpleNamespace(config=SimpleNamespace(context=T), logp=logp)),
            "steps": schedule.step}


def measure(quick: bool = False, minutes: float = 0.5) -> dict:
    """{"title", "rows": one a side, "bar": {"what", "value", "least", "met"}}."""
    minutes = 0.05 if quick else minutes
    results = {"rlscratch": ours(minutes)}
    for side in ("plain", "our") if sides.HAS_TORCH and not quick else ():
        time.sleep(2)
        ran = subprocess.run([sys.executable, "-m", "benchmarks.pretrain", "--worker", side, str(minutes)], check=True,
                             capture_output=True, text=True)
        results[f"torch, {side} settings"] = json.loads(ran.stdout.splitlines()[-1])
    train, held = (part.encode() for part in text.split(text.reference()))
    rows = [{"side": side, "minutes": minutes, "steps": result["steps"], "bits per byte": round(result["bits"], 3)}
            for side, result in results.items()]
    rows += [{"side": name, "minutes": "", "steps": "", "bits per byte": round(bits, 3)}
             for name, bits in bits_per_byte.rivals(train, held).items()]
    two = n_gram.bits(n_gram.fit(train, 2), train + held, len(train)).mean().item()
    other = results["torch, plain settings"]["bits"] if len(results) > 1 else two
    value = round(other / results["rlscratch"]["bits"], 3)
    name = "torch with plain settings" if len(results) > 1 else "a 2-gram"
    return {"title": TITLE, "rows": rows,
            "bar": {"what": f"bits of {name} by ours", "value": value, "least": 1, "met": value >= 1}}


def worker(settings: str, minutes: str) -> None:
    """The process of the other side."""
    print(json.dumps(torchs(float(minutes), plain=settings == "plain")))


if __name__ == "__main__":
    sys.exit(sides.main("benchmarks.pretrain", TITLE, partial(measure, minutes=4.0), worker, ("SETTINGS", "MINUTES")))

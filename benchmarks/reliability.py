"""The figures of docs/RELIABILITY.md: python -m benchmarks.reliability [kills] [bits] [memory] [--seed N]

    kills   training commands, killed by SIGKILL at random moments and resumed until they end: how many of their states
            are those of a run that was not killed, bit for bit
    bits    single bits flipped in every file that a run is resumed from: what the resumed run said
    memory  10,000 steps of training with 100 saves, and 100,000 sequences: the process's memory and open files

It prints a table for each, and its exit status is 1 where a promise is broken.  Without a name all three are printed.
"""
import argparse
import contextlib
import io
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from rlscratch import checkpoint
from rlscratch.__main__ import main as rlscratch
from rlscratch.generate import generate
from rlscratch.optim import AdamW
from rlscratch.report.table import table
from rlscratch.train.pretraining.pretrain import learn
from rlscratch.transformer import Config, Transformer

TINY = ("--context", "16", "--width", "16", "--layers", "1", "--heads", "2", "--batch", "4", "--vocab-size", "256")
COMMANDS = {
    "train q-learning": ("--steps", "8000", "--save-every", "200"),
    "train dqn": ("--steps", "1500", "--save-every", "100"),
    "train reinforce": ("--steps", "60", "--save-every", "5"),
    "train ppo": ("--steps", "60", "--save-every", "5"),
    "train grpo": ("--task", "ice-cream-text", "--steps", "40", "--save-every", "5", "--groups", "2", "--group", "4"),
    "train sft": ("--task", "ice-cream-text", "--steps", "60", "--save-every", "5", "--batch", "8"),
    "pretrain": ("--steps", "60", "--save-every", "5", *TINY),
}
KILLED = 3              # times, each command


# ---------------------------------------------------------------- kills

def state(folder: Path) -> dict[str, np.ndarray]:
    """The arrays of the last save by name, the optimiser's among them."""
    if (folder / checkpoint.INDEX).exists():
        saved = checkpoint.load(folder)
        moments = {f"{key}.{name}": array for key, value in saved.optimizer.items() if isinstance(value, dict)
                   for name, array in value.items()}
        return {name: p.data for name, p in saved.model.parameters().items()} | moments
    with np.load(folder / "state.npz") as saved:
        return {name: saved[name] for name in saved.files if name != "facts"}


def written(folder: Path) -> int:
    """Bytes of a run's metrics so far."""
    metrics = folder / "metrics.jsonl"
    return metrics.stat().st_size if metrics.exists() else 0


def kills(seed: int) -> bool:
    rng, rows, good = random.Random(seed), [], True
    for command, options in COMMANDS.items():
        with tempfile.TemporaryDirectory() as here:
            whole, parts = Path(here, "whole"), Path(here, "parts")
            call = [sys.executable, "-m", "rlscratch", *command.split(), *options, "--quiet", "--run-dir"]
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            subprocess.run([*call, str(whole)], check=True, **quiet)
            seconds = (whole / "result.json").stat().st_mtime - (whole / "config.json").stat().st_mtime
            killed, resumed, process = 0, 0, None
            while process is None or process.returncode:
                more, lines = ["--resume"] if (parts / "config.json").exists() else [], written(parts)
                resumed += bool(more)
                process = subprocess.Popen([*call, str(parts), *more], **quiet)
                if killed < KILLED:
                    while process.poll() is None and written(parts) == lines:      # until it is at work
                        time.sleep(0.001)
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(rng.uniform(0.0, 0.4) * seconds)
                    killed += process.poll() is None
                    process.kill()
                process.wait()
            one, other = state(whole), state(parts)
            same = one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)
            left = [path.name for path in parts.rglob("*.part")]
            good &= same and not left
            rows.append((command, killed, resumed, len(one), "yes" if same else "NO", len(left)))
    print(table(("command", "killed", "resumed", "arrays", "same bits", "stray files"), rows))
    return good


# ---------------------------------------------------------------- bits

def bits(seed: int, count: int = 200) -> bool:
    rng, found = np.random.default_rng(seed), Counter()
    for argv in (["train", "q-learning", "--steps", "40", "--save-every", "20"],
                 ["train", "sft", "--task", "ice-cream-text", "--steps", "2", "--batch", "4"]):
        with tempfile.TemporaryDirectory() as here:
            folder, call = Path(here, "run"), [*argv, "--quiet", "--run-dir", str(Path(here, "run"))]
            said(call)
            whole = {path: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.name != ".lock"}
            before = state(folder)
            read = [path for path in whole if path.suffix in (".npz", ".safetensors")
                    or path.name in ("config.json", checkpoint.INDEX)]
            for path in read:
                for place in rng.integers(8 * len(whole[path]), size=count):
                    for other, content in whole.items():
                        other.write_bytes(content)
                    changed = bytearray(whole[path])
                    changed[place // 8] ^= 1 << place % 8
                    path.write_bytes(changed)
                    status, text = said([*call, "--resume"])
                    kind = path.name.split("-")[0]
                    if status:
                        found[kind, "refused, with its name" if path.name in text else "REFUSED WITHOUT ITS NAME"] += 1
                    else:
                        after = state(folder)
                        same = all(np.array_equal(before[name], after[name]) for name in before)
                        found[kind, "same state" if same else "READ SILENTLY"] += 1
    print(table(("file", "what the resumed run did", "flipped bits"),
                [(*key, number) for key, number in sorted(found.items())]))
    return not any(how.isupper() for _, how in found)


def said(argv: list[str]) -> tuple[int, str]:
    """A command in this process: its exit status, and what it wrote on standard error."""
    error = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(error):
        return rlscratch(argv), error.getvalue()


# ---------------------------------------------------------------- memory

def used() -> tuple[float, int]:
    """MiB that are resident, and open files; Linux."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20, len(os.listdir("/proc/self/fd"))


def trained() -> Iterator[str]:
    """10,000 steps, a save after every 100; yields after each tenth."""
    rng = np.random.default_rng(0)
    model = Transformer(Config(64, 16, 16, 1, 2), rng)
    optimizer = AdamW(model.parameters(), 1e-3)
    steps = learn(model, optimizer, rng.integers(64, size=5000), rng, batch=4, lr=lambda: 1e-3)
    with tempfile.TemporaryDirectory() as folder:
        for step in range(1, 10_001):
            next(steps)
            if step % 100 == 0:
                checkpoint.save(folder, model, step=step, optimizer=optimizer.state_dict(), rng=rng)
                checkpoint.load(folder)
            if step % 1000 == 0:
                yield f"{step:,} steps"


def answered() -> Iterator[str]:
    """100,000 sequences; yields after each tenth."""
    rng = np.random.default_rng(0)
    model = Transformer(Config(64, 16, 16, 1, 2), rng)
    for number in range(1, 201):
        generate(model, [[1, 2, 3]] * 500, max_new_tokens=8, rng=rng)
        if number % 20 == 0:
            yield f"{500 * number:,} sequences"


def memory(seed: int) -> bool:
    rows, good = [], True
    for work in (trained, answered):
        marks = [(name, *used()) for name in work()]
        rows += [(name, f"{size:.1f}", files) for name, size, files in marks]
        settled = marks[1:]                                 # what the first tenth took is kept
        good &= settled[-1][1] - settled[0][1] < 2 and {files for *_, files in settled} == {settled[0][2]}
    print(table(("after", "MiB", "open files"), rows))
    return good


def main() -> int:
    parts = {"kills": kills, "bits": bits, "memory": memory}
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(parts))
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if unknown := set(args.parts) - set(parts):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; expected some of {', '.join(parts)}")
    return int(not all([parts[name](args.seed) for name in args.parts or parts]))


if __name__ == "__main__":
    sys.exit(main())

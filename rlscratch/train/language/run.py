"""The folder of a run that trains a transformer: rlscratch.train.run, with a checkpoint for the state.

    config.json, metrics.jsonl, result.json    as for every run
    checkpoint.json, *.safetensors             the model, the optimiser, the generator (rlscratch.checkpoint)
    tokenizer.json                             written by the command that made it

so a run's folder is all that it takes to sample from its model.
"""
import sys
from typing import Any

import numpy as np
from tqdm import tqdm

from rlscratch import checkpoint
from rlscratch.checkpoint import Checkpoint
from rlscratch.optim import AdamW
from rlscratch.train import run as runs
from rlscratch.transformer import Transformer


class ModelRun(runs.Run):
    """A run whose state is a checkpoint.  After a resume `checkpoint` is the last one, if there was one."""

    checkpoint: Checkpoint | None = None

    def save_model(self, step: int, model: Transformer, optimizer: AdamW, rng: np.random.Generator,
                   facts: dict[str, Any], **figures: Any) -> None:
        """Add a line to the metrics, then replace the checkpoint: in this order, no state is without its line."""
        self.record(step, **figures)
        state = optimizer.state_dict()
        arrays = {f"{what}.{name}": array for what in optimizer.averages for name, array in state.pop(what).items()}
        checkpoint.save(self.folder, model, step=step, optimizer=arrays, rng=rng, facts={**facts, "optimizer": state})

    def restore(self, optimizer: AdamW) -> None:
        """Give an optimiser of the checkpoint's parameters the state that was saved with them."""
        state = dict(self.checkpoint.facts["optimizer"])
        for what in optimizer.averages:
            state[what] = {name.removeprefix(f"{what}."): array for name, array in self.checkpoint.optimizer.items()
                           if name.startswith(f"{what}.")}
        optimizer.load_state_dict(state)

    def tell(self, bar: tqdm, line: str) -> None:
        """A line on standard error, above the progress bar, unless --quiet."""
        if not self.quiet:
            bar.write(line, sys.stderr)

    def _load(self) -> int:
        if not (self.folder / checkpoint.INDEX).exists():       # killed before its first save, a run begins again
            return -1
        self.checkpoint = checkpoint.load(self.folder)
        return self.checkpoint.step

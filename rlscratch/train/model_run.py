"""The folder of a run that trains a transformer: rlscratch.train.run, with a checkpoint for the state.

    config.json, metrics.jsonl, result.json    as for every run
    checkpoint.json, *.safetensors             the model, the optimiser, the generator (rlscratch.checkpoint)
    tokenizer.json                             written by the command that made it

so a run's folder is all that it takes to sample from its model.
"""
import sys
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from rlscratch import checkpoint
from rlscratch.checkpoint import Checkpoint
from rlscratch.files import read_json
from rlscratch.optim import AdamW
from rlscratch.train import distributed
from rlscratch.train import run as runs
from rlscratch.transformer import Transformer


class ModelRun(runs.Run):
    """A run whose state is a checkpoint.  After a resume `checkpoint` is the last one, if there was one."""

    checkpoint: Checkpoint | None = None

    def save_model(self, step: int, model: Transformer, optimizer: AdamW, rng: np.random.Generator,
                   facts: dict[str, Any], **figures: Any) -> None:
        """Add a line to the metrics, then replace the checkpoint: in this order, no state is without its line."""
        self.record(step, **figures)
        self.keep(step, model, optimizer, rng, facts)

    def keep(self, step: int, model: Transformer, optimizer: AdamW, rng: np.random.Generator,
             facts: dict[str, Any]) -> None:
        """Replace the checkpoint; the metrics have their lines already."""
        distributed.same(f"what the model has learned by step {step}", distributed.digest(model.parameters()))
        if distributed.leads():
            checkpoint.save(self.folder, model, step=step, optimizer=optimizer.state_dict(), rng=rng, facts=facts)

    def tell(self, bar: tqdm, line: str) -> None:
        """A line on standard error, above the progress bar, unless --quiet."""
        if not self.quiet:
            bar.write(line, sys.stderr)

    def _load(self) -> int:
        if not (index := self.folder / checkpoint.INDEX).exists():
            return self._unsaved(index, checkpoint.left_by_a_save(self.folder))
        self.checkpoint = checkpoint.load(self.folder)
        return self.checkpoint.step


def command_of(folder: Path | None) -> str | None:
    """The command whose run is in a folder; None for none, and for a folder that no command made."""
    try:
        return read_json(folder / "config.json").get("command") if folder else None
    except (OSError, ValueError):
        return None

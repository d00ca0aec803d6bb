"""The claims about one model's life, for benchmarks.bars: `rlscratch life`, seed by seed, in a folder of its own."""
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rlscratch.__main__ import main
from rlscratch.files import read_json
from rlscratch.tasks.town.questions import CRITERIA

BITS = 0.1              # bits per byte that curation buys
KNOWN = 0.9             # of the facts in the text, after SFT
BEFORE, AFTER = 0.6, 0.1                # answers about strangers that are invented, before the cure and after
LOST = 0.05             # of the facts, by the cure
RISE = 20               # points of 100, of each axis
PAIRS = 0.9             # noise-free pairs that each reward model orders
MINUTES = 8             # on two cores


def life(seed: int) -> dict[str, Any]:
    """The defaults of the command; facts are asked for in a wording, the rest by questions, that no stage saw."""
    begin = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        if main(["life", "--seed", str(seed), "--run-dir", str(Path(folder) / "run"), "--quiet", "--json"]):
            raise RuntimeError(f"rlscratch life did not end with seed {seed}")
        found = read_json(Path(folder) / "run" / "result.json")
    figures = {"bits": found["curation_bits_per_byte"], "facts_sft": found["sft_facts"],
               "facts_lost": found["facts_lost"], "invented_sft": found["sft_invented"],
               "invented_cured": found["cured_invented"],
               **{f"{name}_rise": found[f"aligned_{name}"] - found[f"cured_{name}"] for name in CRITERIA},
               "least_pairs": min(found[f"{name}_pairs"] for name in CRITERIA),
               "minutes": (time.process_time() - begin) / 60}       # of both cores together; a machine may be shared
    return {**{name: float(figure) for name, figure in figures.items()}, "met": holds(figures)}    # 0 is an int in JSON


def holds(figures: Mapping[str, float]) -> bool:
    """Whether figures of a seed, or medians over seeds, meet all of the claim."""
    rises = [figures[f"{name}_rise"] for name in CRITERIA]
    return bool(figures["bits"] >= BITS and figures["facts_sft"] >= KNOWN and figures["invented_sft"] >= BEFORE
                and figures["invented_cured"] <= AFTER and figures["facts_lost"] <= LOST and min(rises) >= RISE
                and figures["least_pairs"] >= PAIRS and figures["minutes"] <= 2 * MINUTES)

"""The claims about one model's life, for benchmarks.bars: `rlscratch life`, seed by seed, in a folder of its own."""
import tempfile
import time
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
        status = main(["life", "--seed", str(seed), "--run-dir", str(Path(folder) / "run"), "--quiet", "--json"])
        found = read_json(Path(folder) / "run" / "result.json") if status == 0 else {}
    if not found:
        return {"met": False}
    minutes = (time.process_time() - begin) / 60          # of both cores together; a machine may be shared
    rises = {f"{name}_rise": found[f"aligned_{name}"] - found[f"cured_{name}"] for name in CRITERIA}
    least = min(found[f"{name}_pairs"] for name in CRITERIA)
    met = (found["curation_bits_per_byte"] >= BITS and found["sft_facts"] >= KNOWN
           and found["sft_invented"] >= BEFORE and found["cured_invented"] <= AFTER
           and found["facts_lost"] <= LOST and min(rises.values()) >= RISE
           and least >= PAIRS and minutes <= 2 * MINUTES)
    return {"bits": found["curation_bits_per_byte"], "facts_sft": found["sft_facts"],
            "facts_lost": found["facts_lost"], "invented_sft": found["sft_invented"],
            "invented_cured": found["cured_invented"], **rises, "least_pairs": least, "minutes": minutes,
            "met": bool(met)}

"""Checkpoints: the weights, and the state of the run that belongs to them, never one without the other.

After the n-th save a folder holds

    checkpoint.json        config and dtype of the model, step, generator, facts; which files belong to it:
    model-n.safetensors    the parameters by name
    state-n.safetensors    the optimiser's arrays by name, and any others; absent if there are none

A save writes the two files of tensors under names that are new, each to a temporary file that is
flushed to disk and renamed; then checkpoint.json in the same way; then it removes the files of the
save before.  The renaming of checkpoint.json is the one instant at which the new state takes the old
one's place: killed at any other, a run leaves a whole checkpoint, and perhaps a stray file that the
next save removes.  checkpoint.json has a seal (files) and the SHA-256 of the two files, so a flipped bit in any of
the three is named when they are read, and nothing is trained on it.

A generator is more than the state of its bits: Generator.spawn counts its children, and generation
spawns a stream a prompt.  Both are kept, so a resumed run draws what the unbroken one would have.

Other tools read model-n.safetensors as it is; huggingface.py exchanges whole folders with transformers.

Leaves out: two processes that save to one folder (train.run has a lock).
"""
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rlscratch import check
from rlscratch.check import Array
from rlscratch.checkpoint import weights
from rlscratch.files import digest, read_json, write_json
from rlscratch.transformer import Config, Transformer

INDEX = "checkpoint.json"
_OURS = re.compile(r"(?:\.?(?:model|state)-(\d+)\.safetensors|\.checkpoint\.json)(?:\.\d+\.part)?")


@dataclass
class Checkpoint:
    """What load returns: a model ready to run, and all else as `save` was given it."""

    model: Transformer
    step: int = 0
    optimizer: dict[str, Any] = field(default_factory=dict)
    rng: np.random.Generator | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, Array] = field(default_factory=dict)


def save(folder: str | Path, model: Transformer, *, step: int = 0, optimizer: Mapping[str, Any] | None = None,
         rng: np.random.Generator | None = None, facts: Mapping[str, Any] | None = None,
         arrays: Mapping[str, Array] | None = None) -> None:
    """Replace the checkpoint in a folder, which is made if need be, by this one.

    step       how many steps the run has made
    optimizer  an optimiser's state_dict(): arrays, groups of arrays by name, and what JSON can hold
    rng        the generator that the run draws from
    facts      anything else that JSON can hold
    arrays     any other arrays by name

    Raises ValueError or TypeError for what cannot be kept, before anything is written.
    """
    folder = Path(folder)
    tensors, kept = _apart(optimizer or {})
    tensors |= {f"arrays.{name}": np.asarray(value) for name, value in (arrays or {}).items()}
    index = {"config": asdict(model.config), "dtype": str(model.dtype), "step": check.integer(0, step=step),
             "optimizer": kept, "rng": None if rng is None else _generator_state(rng), "facts": dict(facts or {})}
    try:
        json.dumps(index)
    except (TypeError, ValueError) as reason:
        check.fail("facts", str(reason), "what JSON can hold", TypeError)
    for name, value in tensors.items():
        if value.dtype.kind not in "fiub" or value.dtype.itemsize > 8:
            check.fail(f"the dtype of {name}", value.dtype, "real numbers, integers or booleans", TypeError)
    folder.mkdir(parents=True, exist_ok=True)
    number = 1 + max((n for _, n in _files(folder)), default=0)
    files = {f"model-{number}.safetensors": weights.of(model), f"state-{number}.safetensors": tensors}
    index["files"] = {name: weights.write(folder / name, content) for name, content in files.items() if content}
    write_json(folder / INDEX, index, seal=True)
    for path, _ in _files(folder):
        if path.name not in (INDEX, *index["files"]):
            path.unlink(missing_ok=True)


def load(folder: str | Path) -> Checkpoint:
    """The checkpoint in a folder.  Raises ValueError, saying what is wrong, for a folder that holds none."""
    path = Path(folder) / INDEX
    if not path.exists():
        check.fail("folder", str(folder), f"the folder of a run that has saved its model ({INDEX}): train one first")
    index = read_json(path, sealed=True)
    files = [path.with_name(name) for name in index.get_as(dict, "files")]
    for file, told in zip(files, index["files"].values(), strict=True):
        if not file.exists() or digest(file) != told:
            check.fail(str(file), "missing" if not file.exists() else "another content than was written",
                       "the file that was saved, whole and unchanged")
    step, rng, facts = index.get_as(int, "step"), index["rng"], index.get_as(dict, "facts")
    groups, optimizer = (index.get_as(dict, "optimizer")[name] for name in ("groups", "facts"))
    try:
        config = Config(**index.get_as(dict, "config"))
    except TypeError as unknown:
        check.fail(f"config in {path}", str(unknown), "what this version of rlscratch knows")
    model = weights.filled(config, weights.read(files[0]), index["dtype"], files[0])
    arrays = {}
    for name, value in (weights.read(files[1]) if files[1:] else {}).items():
        kind, _, name = name.partition(".")
        group, _, rest = name.partition(".")
        if kind == "arrays":
            arrays[name] = value
        elif group in groups:
            optimizer.setdefault(group, {})[rest] = value
        else:
            optimizer[name] = value
    return Checkpoint(model, step, optimizer, rng and _generator(rng), facts, arrays)


def _apart(state: Mapping[str, Any]) -> tuple[dict[str, Array], dict[str, Any]]:
    """An optimiser's state as tensors by name, and the rest: which of its entries were groups, and facts."""
    tensors, groups, facts = {}, [], {}
    for key, value in state.items():
        if isinstance(value, np.ndarray):
            tensors[f"optimizer.{key}"] = value
        elif isinstance(value, Mapping) and value and all(isinstance(a, np.ndarray) for a in value.values()):
            tensors |= {f"optimizer.{key}.{name}": a for name, a in value.items()}
            groups.append(key)
        else:
            facts[key] = value
    return tensors, {"groups": groups, "facts": facts}


def _files(folder: Path) -> list[tuple[Path, int]]:
    """Our files of tensors in a folder, and all that a killed save left half-written, with their numbers."""
    matches = ((path, _OURS.fullmatch(path.name)) for path in folder.iterdir())
    return [(path, int(match[1] or 0)) for path, match in matches if match]


def left_by_a_save(folder: str | Path) -> list[str]:
    """Names of the tensors in a folder without an index that a save must have left: the index is lost.

    The first weights alone may be those of a run that was killed within its first save.
    """
    return sorted(path.name for path, n in _files(Path(folder))
                  if path.name.startswith(("model-", "state-") if n > 1 else "state-") and path.suffix != ".part")


# ---------------------------------------------------------------- generators

def _generator_state(rng: np.random.Generator) -> dict[str, Any]:
    """All that a generator's future depends on, its number of children included."""
    bits = check.generator(rng=rng).bit_generator
    seed = bits.seed_seq
    if not isinstance(seed, np.random.SeedSequence):
        check.fail("rng", seed, "a generator with a SeedSequence, such as numpy.random.default_rng(0)", TypeError)
    return json.loads(json.dumps({"kind": type(bits).__name__, "bits": bits.state, "seed": seed.state},
                                 default=lambda value: value.tolist()))


def _generator(state: Mapping[str, Any]) -> np.random.Generator:
    bits = getattr(np.random, state["kind"])(np.random.SeedSequence(**state["seed"]))
    bits.state = state["bits"]
    return np.random.Generator(bits)

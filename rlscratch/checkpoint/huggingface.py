"""Folders that transformers writes and reads: a GPT-2, a Llama or a Qwen2.

config.json says which architecture it is and its sizes; model.safetensors, or several files with an index, holds the
numbers.  gpt2.py and llama.py know the words of each.  A setting that changes the numbers is taken or refused by name,
never passed over.
"""
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from rlscratch import check
from rlscratch.blocks import STYLES
from rlscratch.check import Array
from rlscratch.checkpoint import gpt2, llama, weights
from rlscratch.files import read_json, write_json
from rlscratch.transformer import Config, Transformer

SHARDS = "model.safetensors.index.json"
ARCHITECTURES: dict[str, tuple[ModuleType, str]] = {
    "gpt2": (gpt2, "GPT2"), "llama": (llama, "Llama"), "qwen2": (llama, "Qwen2")}
HEADS = ("lm_head.", "score.")          # have no prefix


def from_huggingface(folder: str | Path, dtype: Any = np.float32) -> Transformer:
    """The model in a folder that transformers wrote: config.json and model.safetensors, or its shards.

    Names with or without their prefix are accepted, and numbers of any width.  A score head with one label becomes
    the value head; where it stands in the place of an output matrix, logits say nothing.  Other scales of attention
    than 1 / sqrt(D) go into the query's matrices.  Dropout is off, whatever the config says.  Raises ValueError for
    another architecture, and for settings that are not known here.
    """
    folder = Path(folder)
    one, many = folder / "model.safetensors", folder / SHARDS
    for path in (folder / "config.json", many if many.exists() and not one.exists() else one):
        if not path.exists():
            check.fail("folder", str(folder), f"a folder with {path.name}, as transformers' save_pretrained leaves it")
    file = one if one.exists() else many
    described, found = read_json(folder / "config.json"), weights.read(one) if one.exists() else _sharded(many)
    described.setdefault("model_type", "gpt2")
    if described.get("quantization_config") is not None:
        check.fail("quantization_config in config.json", described["quantization_config"], "None")
    kind = check.one_of(tuple(ARCHITECTURES), kind=described["model_type"], called="model_type in config.json")
    home = ARCHITECTURES[kind][0]
    tensors = _without(home.PREFIX, {name: value for name, value in found.items() if not name.endswith(home.BUFFERS)},
                       file)
    config = home.config_of(described, "score.weight" in tensors)
    if config.value_head and "lm_head.weight" not in tensors:
        config = replace(config, tied=True)
    if config.tied:
        tensors.pop("lm_head.weight", None)         # another name for the embedding
    if config.value_head:
        tensors.setdefault("score.bias", np.zeros(1, np.float32))       # transformers' head has none
    model = weights.filled(config, tensors, dtype, file, home.places)
    home.adapt(model, described)
    return model


def _without(prefix: str, tensors: dict[str, Array], file: Path) -> dict[str, Array]:
    """The tensors by their names without the prefix.  Raises ValueError for one that is there with and without it."""
    for name in tensors:
        if name.startswith(prefix) and name.removeprefix(prefix) in tensors:
            check.fail(f"the names in {file}", [name.removeprefix(prefix), name], "one of the two")
    return {name.removeprefix(prefix): value for name, value in tensors.items()}


def _sharded(index: Path) -> dict[str, Array]:
    """The tensors of several files, by an index from names to files."""
    places = read_json(index).get_as(dict, "weight_map")
    for name in places:
        if Path(places.get_as(str, name)).name != places[name] or places[name] in ("", ".."):
            check.fail(f"the file of {name} in {index}", places[name], "the name of a file beside it")
    files = {file: weights.read(index.with_name(file)) for file in sorted(set(places.values()))}
    for name, file in places.items():
        if name not in files[file]:
            check.fail(f"{name} in {index.with_name(file)}", "missing", f"what {index.name} says that it holds")
    return {name: files[file][name] for name, file in places.items()}


def kind_of(config: Config) -> str:
    """Whose blocks these are: "gpt2", "llama" or "qwen2".  Raises ValueError for a mixture: transformers has none."""
    H, K, D, _ = config.sizes
    chosen = {"norm": config.norm, "positions": config.positions, "gated": config.gated}
    if chosen == {"norm": "layer", "positions": "learned", "gated": False}:
        if (H, H * D, config.biases) == (K, config.width, "all"):
            return "gpt2"
    elif chosen.items() <= STYLES["llama"].items():
        return "qwen2" if config.biases == "qkv" else "llama"
    return check.fail("config", config, "the choices of GPT-2, of Llama or of Qwen2; transformers has no mixture")


def to_huggingface(model: Transformer, folder: str | Path) -> None:
    """Write config.json and model.safetensors, which transformers' AutoModelForCausalLM.from_pretrained reads.

    The bias of a value head has no place in transformers' own head; it is written beside it, and
    from_huggingface reads it back.  Raises ValueError for blocks that no architecture has.
    """
    folder, config = Path(folder), model.config
    kind = kind_of(config)
    home, name = ARCHITECTURES[kind]
    folder.mkdir(parents=True, exist_ok=True)
    described = {
        "model_type": kind, "architectures": [f"{name}LMHeadModel" if kind == "gpt2" else f"{name}ForCausalLM"],
        "vocab_size": config.vocab_size, "tie_word_embeddings": config.tied, "initializer_range": 0.02,
        "dtype": str(model.dtype), "bos_token_id": None, "eos_token_id": None, **home.described_by(config)}
    tensors = {name if name.startswith(HEADS) else home.PREFIX + name: value
               for name, value in weights.of(model, home.places).items()}
    weights.write(folder / "model.safetensors", tensors)
    write_json(folder / "config.json", described)

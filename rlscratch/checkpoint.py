"""Checkpoints: the weights, and the state of the run that belongs to them, never one without the other.

After the n-th save a folder holds

    checkpoint.json        config and dtype of the model, step, generator, facts; which files belong to it:
    model-n.safetensors    the parameters by name
    state-n.safetensors    the optimiser's arrays by name, and any others; absent if there are none

A save writes the two files of tensors under names that are new, each to a temporary file that is
flushed to disk and renamed; then checkpoint.json in the same way; then it removes the files of the
save before.  The renaming of checkpoint.json is the one instant at which the new state takes the old
one's place: killed at any other, a run leaves a whole checkpoint, and perhaps a stray file that the
next save removes.

A generator is more than the state of its bits: Generator.spawn counts its children, and generation
spawns a stream a prompt.  Both are kept, so a resumed run draws what the unbroken one would have.

Other tools read model-n.safetensors as it is; from_huggingface and to_huggingface exchange whole
folders with transformers.  The names are the same but for a prefix, and so is the layout: GPT-2 keeps
its matrices as (in, out), as we do.

Leaves out: two processes that save to one folder; tensors sharded over several files.
"""
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from rlscratch import check
from rlscratch.check import Array
from rlscratch.files import write_atomic
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
    _as_json(index)
    for name, value in tensors.items():
        if value.dtype.kind not in "fiub" or value.dtype.itemsize > 8:
            check.fail(f"the dtype of {name}", value.dtype, "real numbers, integers or booleans", TypeError)
    folder.mkdir(parents=True, exist_ok=True)
    number = 1 + max((n for _, n in _files(folder)), default=0)
    index["model"] = _write(folder / f"model-{number}.safetensors", _weights(model))
    index["state"] = _write(folder / f"state-{number}.safetensors", tensors) if tensors else None
    write_atomic(folder / INDEX, lambda part: part.write_text(_as_json(index), "utf-8"))
    for path, _ in _files(folder):
        if path.name not in (index["model"], index["state"]):
            path.unlink(missing_ok=True)


def load(folder: str | Path) -> Checkpoint:
    """The checkpoint in a folder.  Raises ValueError, saying what is wrong, for a folder that holds none."""
    path = Path(folder) / INDEX
    if not path.exists():
        check.fail("folder", str(folder), f"the folder of a run that has saved its model ({INDEX}): train one first")
    index = _read_json(path)
    try:
        model = Transformer(Config(**index["config"]), None, np.dtype(index["dtype"]))
        weights, state = path.with_name(index["model"]), index["state"] and path.with_name(index["state"])
        step, rng, facts = index["step"], index["rng"] and _generator(index["rng"]), index["facts"]
        groups, optimizer = index["optimizer"]["groups"], index["optimizer"]["facts"]
    except (KeyError, TypeError, AttributeError) as damage:
        check.fail(str(path), repr(damage), "what checkpoint.save wrote")
    _fill(model, _read(weights), weights)
    arrays = {}
    for name, value in (_read(state) if state else {}).items():
        kind, _, name = name.partition(".")
        group, _, rest = name.partition(".")
        if kind == "arrays":
            arrays[name] = value
        elif group in groups:
            optimizer.setdefault(group, {})[rest] = value
        else:
            optimizer[name] = value
    return Checkpoint(model, step, optimizer, rng, facts, arrays)


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


# ---------------------------------------------------------------- Hugging Face

PREFIX = "transformer."
_BUFFERS = (".attn.bias", ".attn.masked_bias")      # causal masks that older versions stored
_ACTIVATIONS = {"gelu_new": False, "gelu_pytorch_tanh": False, "gelu": True}
_MUST_BE = {"model_type": "gpt2", "scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False,
            "add_cross_attention": False}


def from_huggingface(folder: str | Path, dtype: Any = np.float32) -> Transformer:
    """The model in a folder that transformers wrote: a GPT-2's config.json and model.safetensors.

    Names with or without "transformer." are accepted.  A score head with one label becomes the value
    head.  Dropout is off, whatever the config says.  Raises ValueError for a model that is no GPT-2.
    """
    folder = Path(folder)
    for name in ("config.json", "model.safetensors"):
        if not (folder / name).exists():
            check.fail("folder", str(folder), f"a folder with {name}, as transformers' save_pretrained leaves it")
    described = _read_json(folder / "config.json")
    tensors = {name.removeprefix(PREFIX): value for name, value in _read(folder / "model.safetensors").items()
               if not name.endswith(_BUFFERS)}
    config = _config_from(described, "score.weight" in tensors)
    if config.tied:
        tensors.pop("lm_head.weight", None)         # another name for wte.weight
    if config.value_head:
        tensors.setdefault("score.bias", np.zeros(1, np.float32))       # transformers' head has none
    model = Transformer(config, None, dtype)
    _fill(model, tensors, folder / "model.safetensors")
    return model


def _config_from(described: Mapping[str, Any], value_head: bool) -> Config:
    for key, value in _MUST_BE.items():
        if described.get(key, value) != value:
            check.fail(f"{key} in config.json", described[key], f"{value!r}: GPT-2's architecture")
    missing = [key for key in ("vocab_size", "n_positions", "n_embd", "n_layer", "n_head") if key not in described]
    if missing:
        check.fail("config.json", sorted(described), f"the keys {', '.join(missing)}, too")
    activation, width = described.get("activation_function", "gelu_new"), described["n_embd"]
    check.one_of(tuple(_ACTIVATIONS), activation=activation, called="activation_function in config.json")
    if described.get("n_inner") not in (None, 4 * width):
        check.fail("n_inner in config.json", described["n_inner"], f"{4 * width}, four times n_embd")
    return Config(described["vocab_size"], described["n_positions"], width, described["n_layer"], described["n_head"],
                  tied=described.get("tie_word_embeddings", True), value_head=value_head,
                  exact_gelu=_ACTIVATIONS[activation], eps=described.get("layer_norm_epsilon", 1e-5))


def to_huggingface(model: Transformer, folder: str | Path) -> None:
    """Write config.json and model.safetensors, which transformers' GPT2LMHeadModel.from_pretrained reads.

    The bias of a value head has no place in transformers' own head; it is written beside it, and
    from_huggingface reads it back.
    """
    folder, config = Path(folder), model.config
    folder.mkdir(parents=True, exist_ok=True)
    described = {
        **_MUST_BE, "architectures": ["GPT2LMHeadModel"], "vocab_size": config.vocab_size,
        "n_positions": config.context, "n_embd": config.width, "n_layer": config.layers, "n_head": config.heads,
        "n_inner": None, "activation_function": "gelu" if config.exact_gelu else "gelu_new",
        "layer_norm_epsilon": config.eps, "tie_word_embeddings": config.tied, "initializer_range": 0.02,
        "embd_pdrop": config.dropout, "resid_pdrop": config.dropout, "attn_pdrop": 0.0, "dtype": str(model.dtype),
        "bos_token_id": None, "eos_token_id": None}
    outside = ("lm_head.", "score.")
    tensors = {name if name.startswith(outside) else PREFIX + name: value for name, value in _weights(model).items()}
    _write(folder / "model.safetensors", tensors)
    write_atomic(folder / "config.json", lambda part: part.write_text(_as_json(described), "utf-8"))


# ---------------------------------------------------------------- files

def _weights(model: Transformer) -> dict[str, Array]:
    return {name: parameter.data for name, parameter in model.parameters().items()}


def _write(path: Path, tensors: Mapping[str, Array]) -> str:
    whole = {name: np.asarray(value, order="C") for name, value in tensors.items()}
    write_atomic(path, lambda part: save_file(whole, part, {"format": "pt"}))     # transformers asks for "pt"
    return path.name


def _read(path: Path) -> dict[str, Array]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as damage:
        check.fail(str(path), str(damage), "a whole file of safetensors")
    except (KeyError, TypeError, AttributeError) as unknown:
        check.fail(f"a dtype in {path}", str(unknown), "one that NumPy has, such as float32 or float16")


def _fill(model: Transformer, tensors: Mapping[str, Array], where: Path) -> None:
    """Copy tensors into the parameters, once all of their names and shapes are known to fit."""
    parameters = model.parameters()
    missing, unknown = sorted(parameters.keys() - tensors), sorted(tensors.keys() - parameters)
    if missing or unknown:
        check.fail(f"the names in {where}", f"missing {missing[:3]}, unknown {unknown[:3]}",
                   f"the {len(parameters)} parameters of {model.config}")
    for name, parameter in parameters.items():
        check.shape(parameter.data.shape, f"which the config asks for in {where}", tensor=tensors[name], called=name)
        if tensors[name].dtype.kind != "f":
            check.fail(f"the dtype of {name} in {where}", tensors[name].dtype, "real numbers", TypeError)
    for name, parameter in parameters.items():
        parameter.data[...] = tensors[name]


def _files(folder: Path) -> list[tuple[Path, int]]:
    """Our files of tensors in a folder, and all that a killed save left half-written, with their numbers."""
    matches = ((path, _OURS.fullmatch(path.name)) for path in folder.iterdir())
    return [(path, int(match[1] or 0)) for path, match in matches if match]


def _as_json(value: Any) -> str:
    try:
        return json.dumps(value, indent=1) + "\n"
    except (TypeError, ValueError) as reason:
        check.fail("facts", str(reason), "what JSON can hold", TypeError)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except ValueError as damage:
        check.fail(str(path), str(damage), "JSON")
    if not isinstance(content, dict):
        check.fail(str(path), content, "one JSON object")
    return content


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

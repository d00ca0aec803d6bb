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

Other tools read model-n.safetensors as it is; from_huggingface and to_huggingface exchange whole
folders with transformers.  The names are the same but for a prefix, and so is the layout: GPT-2 keeps
its matrices as (in, out), as we do.

Leaves out: two processes that save to one folder (train.run has a lock); a checksum for Hugging Face's files, whose
format has no place for one; writing several files.
"""
import hashlib
import itertools
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, deserialize, safe_open
from safetensors.numpy import load_file
from safetensors.numpy import save as as_bytes

from rlscratch import check
from rlscratch.check import Array
from rlscratch.files import Fields, digest, read_json, write_atomic, write_json
from rlscratch.transformer import Config, Transformer, shapes

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
    files = {f"model-{number}.safetensors": _weights(model), f"state-{number}.safetensors": tensors}
    index["files"] = {name: _write(folder / name, content) for name, content in files.items() if content}
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
    model = _filled(config, _read(files[0]), index["dtype"], files[0])
    arrays = {}
    for name, value in (_read(files[1]) if files[1:] else {}).items():
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


# ---------------------------------------------------------------- Hugging Face

PREFIX, SHARDS = "transformer.", "model.safetensors.index.json"
_BUFFERS = (".attn.bias", ".attn.masked_bias")      # causal masks that older versions stored
_ACTIVATIONS = {"gelu_new": False, "gelu_pytorch_tanh": False, "gelu_fast": False, "gelu_accurate": False,
                "gelu": True, "gelu_python": True}          # name -> whether it is the exact GELU
_MUST_BE = {"model_type": "gpt2", "add_cross_attention": False}


def from_huggingface(folder: str | Path, dtype: Any = np.float32) -> Transformer:
    """The model in a folder that transformers wrote: a GPT-2's config.json and model.safetensors, or its shards.

    Names with or without "transformer." are accepted, and numbers of any width.  A score head with one label becomes
    the value head.  Other scales of attention than 1 / sqrt(D) go into the query's matrices.  Dropout is off, whatever
    the config says.  Raises ValueError for a model that is no GPT-2.
    """
    folder = Path(folder)
    one, many = folder / "model.safetensors", folder / SHARDS
    for path in (folder / "config.json", many if many.exists() and not one.exists() else one):
        if not path.exists():
            check.fail("folder", str(folder), f"a folder with {path.name}, as transformers' save_pretrained leaves it")
    described, found = read_json(folder / "config.json"), _read(one) if one.exists() else _sharded(many)
    tensors = {name.removeprefix(PREFIX): value for name, value in found.items() if not name.endswith(_BUFFERS)}
    config = _config_from(described, "score.weight" in tensors)
    if config.tied:
        tensors.pop("lm_head.weight", None)         # another name for wte.weight
    if config.value_head:
        tensors.setdefault("score.bias", np.zeros(1, np.float32))       # transformers' head has none
    model = _filled(config, tensors, dtype, folder)
    _scale_queries(model, described)
    return model


def _sharded(index: Path) -> dict[str, Array]:
    """The tensors of several files, by an index from names to files."""
    places = read_json(index).get_as(dict, "weight_map")
    for name in places:
        if Path(places.get_as(str, name)).name != places[name]:
            check.fail(f"the file of {name} in {index}", places[name], "the name of a file beside it")
    files = {file: _read(index.with_name(file)) for file in sorted(set(places.values()))}
    for name, file in places.items():
        if name not in files[file]:
            check.fail(f"{name} in {index.with_name(file)}", "missing", f"what {index.name} says that it holds")
    return {name: files[file][name] for name, file in places.items()}


def _config_from(described: Fields, value_head: bool) -> Config:
    for key, value in _MUST_BE.items():
        if described.get(key, value) != value:
            check.fail(f"{key} in config.json", described[key], f"{value!r}: GPT-2's architecture")
    activation = described.get("activation_function", "gelu_new")
    check.one_of(tuple(_ACTIVATIONS), activation=activation, called="activation_function in config.json")
    sizes = (described.get_as(int, key) for key in ("vocab_size", "n_positions", "n_embd", "n_layer", "n_head"))
    return Config(*sizes, inner=described.get("n_inner"), tied=described.get("tie_word_embeddings", True),
                  value_head=value_head, exact_gelu=_ACTIVATIONS[activation],
                  eps=described.get("layer_norm_epsilon", 1e-5))


def _scale_queries(model: Transformer, described: Fields) -> None:
    """Attention divides q . k by sqrt(D).  Where a config has another scale, the queries are larger or smaller."""
    C, H = model.config.width, model.config.heads
    plain = 1.0 if described.get("scale_attn_weights", True) else (C // H) ** 0.5
    by_layer = described.get("scale_attn_by_inverse_layer_idx", False)
    for layer in range(model.config.layers):
        scale = plain / (layer + 1) if by_layer else plain
        if scale != 1:
            for name in ("weight", "bias"):
                model.parameters()[f"h.{layer}.attn.c_attn.{name}"].data[..., :C] *= scale


def to_huggingface(model: Transformer, folder: str | Path) -> None:
    """Write config.json and model.safetensors, which transformers' GPT2LMHeadModel.from_pretrained reads.

    The bias of a value head has no place in transformers' own head; it is written beside it, and
    from_huggingface reads it back.
    """
    folder, config = Path(folder), model.config
    folder.mkdir(parents=True, exist_ok=True)
    described = {
        **_MUST_BE, "scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False,
        "architectures": ["GPT2LMHeadModel"], "vocab_size": config.vocab_size,
        "n_positions": config.context, "n_embd": config.width, "n_layer": config.layers, "n_head": config.heads,
        "n_inner": config.inner, "activation_function": "gelu" if config.exact_gelu else "gelu_new",
        "layer_norm_epsilon": config.eps, "tie_word_embeddings": config.tied, "initializer_range": 0.02,
        "embd_pdrop": config.dropout, "resid_pdrop": config.dropout, "attn_pdrop": 0.0, "dtype": str(model.dtype),
        "bos_token_id": None, "eos_token_id": None}
    outside = ("lm_head.", "score.")
    tensors = {name if name.startswith(outside) else PREFIX + name: value for name, value in _weights(model).items()}
    _write(folder / "model.safetensors", tensors)
    write_json(folder / "config.json", described)


# ---------------------------------------------------------------- files

def _weights(model: Transformer) -> dict[str, Array]:
    return {name: parameter.data for name, parameter in model.parameters().items()}


def _write(path: Path, tensors: Mapping[str, Array]) -> str:
    """Write a file of safetensors; the SHA-256 of what was meant, whatever the disk makes of it."""
    whole = {name: np.asarray(value, order="C") for name, value in tensors.items()}
    content = as_bytes(whole, {"format": "pt"})                 # transformers asks for "pt"
    write_atomic(path, lambda part: part.write_bytes(content))
    return hashlib.sha256(content).hexdigest()


def _read(path: Path) -> dict[str, Array]:
    """The tensors of a file; bfloat16, which NumPy has not, as float32."""
    try:
        with safe_open(path, "np") as file:
            kinds = {name: file.get_slice(name).get_dtype() for name in file.keys()}    # noqa: SIM118
        for name, kind in kinds.items():
            if kind not in _DTYPES:
                check.fail(f"the dtype of {name} in {path}", kind, f"one of {', '.join(_DTYPES)}")
        if "BF16" not in kinds.values():
            return load_file(path)
        found = deserialize(path.read_bytes())
    except (OSError, SafetensorError) as damage:
        check.fail(str(path), str(damage), "a whole file of safetensors")
    return {name: _array(one["data"], one["dtype"]).reshape(one["shape"]) for name, one in found}


_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "I16": "<i2",
           "I8": "<i1", "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "<u1", "BOOL": "?"}


def _array(data: bytes, kind: str) -> Array:
    """Bytes as numbers.  bfloat16 is the upper half of a float32."""
    numbers = np.frombuffer(data, _DTYPES[kind])
    return (numbers.astype(np.uint32) << 16).view(np.float32) if kind == "BF16" else numbers


def _filled(config: Config, tensors: Mapping[str, Array], dtype: Any, where: Path) -> Transformer:
    """A model with these parameters, made once all of their names and shapes are known to fit.

    So a config can ask for no more memory than its file has, and for no more names than are compared.
    """
    wanted = dict(itertools.islice(shapes(config), len(tensors) + 1))
    missing = sorted(wanted.keys() - tensors)
    unknown = sorted(tensors.keys() - wanted) if len(wanted) <= len(tensors) else []
    if missing or unknown:
        check.fail(f"the names in {where}", f"missing {missing[:3]}, unknown {unknown[:3]}",
                   f"the parameters of {config}")
    for name, shape in wanted.items():
        check.shape(shape, f"which the config asks for in {where}", tensor=tensors[name], called=name)
        if tensors[name].dtype.kind != "f":
            check.fail(f"the dtype of {name} in {where}", tensors[name].dtype, "real numbers", TypeError)
    model = Transformer(config, None, dtype)
    for name, parameter in model.parameters().items():
        parameter.data[...] = tensors[name]
    return model


def _files(folder: Path) -> list[tuple[Path, int]]:
    """Our files of tensors in a folder, and all that a killed save left half-written, with their numbers."""
    matches = ((path, _OURS.fullmatch(path.name)) for path in folder.iterdir())
    return [(path, int(match[1] or 0)) for path, match in matches if match]


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

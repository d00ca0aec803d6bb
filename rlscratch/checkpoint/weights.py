"""Files of safetensors, and the model that one holds.

Parameters may have other names there than here, and another layout.  A place says where one of ours lies:

    ours     h.0.attn.c_attn.weight (C, (H + 2 K) D)
    theirs   layers.0.self_attn.q_proj.weight (H D, C), ...k_proj.weight (K D, C), ...v_proj.weight (K D, C)
    turned   theirs are (out, in); turned, they stand side by side in ours

Leaves out: a checksum for Hugging Face's files, whose format has no place for one; writing several files.
"""
import hashlib
import itertools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError, deserialize, safe_open
from safetensors.numpy import load_file
from safetensors.numpy import save as as_bytes

from rlscratch import check
from rlscratch.check import Array
from rlscratch.files import Fields, write_atomic
from rlscratch.transformer import Config, Transformer, shapes

_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "I16": "<i2",
           "I8": "<i1", "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "<u1", "BOOL": "?"}


class Place(NamedTuple):
    """Our name of a parameter, their names with their shapes, and whether they are turned."""

    ours: str
    theirs: dict[str, tuple[int, ...]]
    turned: bool = False


Places = Callable[[Config], Iterator[Place]]


def same(config: Config) -> Iterator[Place]:
    """Every parameter by its own name."""
    return (Place(name, {name: shape}) for name, shape in shapes(config))


def flag(described: Fields, name: str, default: bool) -> bool:
    """A setting of a config.json that is true or false; null is false."""
    return bool(described.get_as((bool, type(None)), name)) if name in described else default


def write(path: Path, tensors: Mapping[str, Array]) -> str:
    """Write a file of safetensors; the SHA-256 of what was meant, whatever the disk makes of it."""
    whole = {name: np.asarray(value, order="C") for name, value in tensors.items()}
    content = as_bytes(whole, {"format": "pt"})                 # transformers asks for "pt"
    write_atomic(path, lambda part: part.write_bytes(content))
    return hashlib.sha256(content).hexdigest()


def read(path: Path) -> dict[str, Array]:
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


def _array(data: bytes, kind: str) -> Array:
    """Bytes as numbers.  bfloat16 is the upper half of a float32."""
    numbers = np.frombuffer(data, _DTYPES[kind])
    return (numbers.astype(np.uint32) << 16).view(np.float32) if kind == "BF16" else numbers


def of(model: Transformer, places: Places = same) -> dict[str, Array]:
    """The parameters of a model by name, theirs with `places`."""
    found = {}
    for ours, theirs, turned in places(model.config):
        data = model.parameters()[ours].data
        ends = np.cumsum([shape[0 if turned else -1] for shape in theirs.values()])
        for name, piece in zip(theirs, np.split(data, ends[:-1], axis=-1), strict=True):
            found[name] = piece.T if turned else piece
    return found


def filled(config: Config, tensors: Mapping[str, Array], dtype: Any, where: Path, places: Places = same) -> Transformer:
    """A model with these parameters, made once all of their names and shapes are known to fit.

    So a config can ask for no more memory than its file has, and for no more names than are compared.
    Raises ValueError, too, for a number that is not finite in `dtype`.
    """
    every = ((name, shape) for place in places(config) for name, shape in place.theirs.items())
    wanted = dict(itertools.islice(every, len(tensors) + 1))
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
    for ours, theirs, turned in places(config):
        pieces = [tensors[name].T if turned else tensors[name] for name in theirs]
        data = model.parameters()[ours].data
        with np.errstate(over="ignore"):
            data[...] = np.concatenate(pieces, axis=-1) if len(pieces) > 1 else pieces[0]
        if not np.isfinite(data).all():
            _name_infinite({name: tensors[name] for name in theirs}, data.dtype, where)
    return model


def _name_infinite(tensors: Mapping[str, Array], dtype: np.dtype, where: Path) -> None:
    """Raise for the first number that is not finite in `dtype`."""
    for name, value in tensors.items():
        with np.errstate(over="ignore"):
            bad = ~np.isfinite(value.astype(dtype))
        if bad.any():
            place = ", ".join(str(i) for i in np.argwhere(bad)[0])
            check.fail(f"{name}[{place}] in {where}", value[bad][0], f"a finite number in {dtype}")

"""The conventions as files: inputs, values, gradients and tags, for those who do not have rlscratch.

    cases/policy.json            reads as it stands; every array is named in it
    cases/policy.safetensors     the arrays, float64; any library of safetensors opens them

A file has, besides `format` (1) and `contract`:

    inputs    name -> an array of the safetensors file, or a number
    cases     a list: tags; value, a number or the name of an array; gradient, the name of an array, or null
    terms     policy only: KLs to be added to a case, times beta, with the aggregate that weighed them

The gradient is the derivative of the value in `first`.  Written by `rlscratch conform --write-cases FOLDER` from
rlscratch.formulas; a test writes them anew and compares.
"""
import json
from operator import methodcaller
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load, save

from rlscratch.check import Array
from rlscratch.conformance.contracts import CONTRACTS, aggregates, kl_terms
from rlscratch.files import write_atomic

FOLDER = Path(__file__).with_name("cases")
TAKES = {"policy": {"logp", "logp_old", "advantage", "mask"}, "advantage": {"rewards"}, "kl": {"logp", "logp_ref"},
         "pairs": {"chosen", "rejected", "ref_chosen", "ref_rejected"}, "value": {"values", "values_old", "mask"},
         "gae": {"rewards", "values", "mask", "gamma", "lam"}, "counts": {"answers", "right", "k"}}


def table(kind: str) -> tuple[dict[str, Any], dict[str, Array]]:
    """What the two files of a contract hold."""
    contract, arrays = CONTRACTS[kind], {}
    batch = contract.batch()

    def stored(name: str, value: Any) -> Any:
        if not isinstance(value, np.ndarray):
            return value
        arrays[name] = np.ascontiguousarray(value, dtype=np.float64)
        return name

    inputs = {name: stored(f"inputs.{name}", value) for name, value in batch.items()}
    conventions = [convention for convention, _ in contract.conventions(batch, TAKES[kind])]
    rows = [{"tags": c.tags, "value": stored(f"cases.{i}.value", c.value),
             "gradient": stored(f"cases.{i}.gradient", c.gradient)} for i, c in enumerate(conventions)]
    whole = {"format": 1, "contract": kind, "first": contract.first, "inputs": inputs, "cases": rows}
    if kind == "policy":
        whole["terms"] = [
            {"tags": {"KL in the loss": name, "aggregate": aggregate}, "value": value,
             "gradient": stored(f"terms.{aggregate}.{name}", gradient)}
            for aggregate, w in aggregates(batch).items() for name, value, gradient in kl_terms(batch, w)]
    return whole, arrays


def write(folder: Path) -> list[Path]:
    """Write all files; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for kind in CONTRACTS:
        whole, arrays = table(kind)
        for ending, content in (("json", json.dumps(whole, indent=1).encode()), ("safetensors", save(arrays))):
            paths.append(folder / f"{kind}.{ending}")
            write_atomic(paths[-1], methodcaller("write_bytes", content))
    return paths


def read(kind: str, folder: Path = FOLDER) -> tuple[dict[str, Any], dict[str, Array]]:
    """The two files of a contract.

    >>> read("pairs")[0]["cases"][0]["tags"]
    {'loss': 'DPO', 'beta': '0.1'}
    """
    return (json.loads((folder / f"{kind}.json").read_text("utf-8")),
            load((folder / f"{kind}.safetensors").read_bytes()))

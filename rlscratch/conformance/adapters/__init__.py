"""The losses of libraries, called as they stand: each as a function with arguments that `examine` knows.

An adapter is a module with `adapted() -> list[Adapted]`; it imports its library when that is called, and what a
trainer needs besides numbers is replaced by stand-ins.  `expected` is how the verdict begins on the version that it was
written for.

    trl        TRL 1.16.0        GRPOTrainer and RLOOTrainer, unbound, on a leaf tensor
    verl       veRL 0.9.1        trainer/ppo/core_algos.py, without the package's own imports
    openrlhf   OpenRLHF 0.11.2   models/loss.py, likewise
    liger_kernel  Liger 0.8.5    what its fused GRPO and DPO heads compute
    tunix      tunix 0.1.7       rl/algo_core.py and rl/common.py, without flax; JAX
    rlax       rlax 0.1.9        the clipped surrogate; JAX
"""
import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata, util
from types import ModuleType
from typing import Any, NamedTuple

LIBRARIES = {"trl": "TRL", "verl": "veRL", "openrlhf": "OpenRLHF", "liger_kernel": "Liger", "tunix": "tunix",
             "rlax": "rlax"}
PACKAGES = {"tunix": "google-tunix", "liger_kernel": "liger-kernel"}       # where the registry has another name


class Adapted(NamedTuple):
    """One function of a library.

    option    how its users choose it
    function  what is examined
    like      what it is examined as
    expected  how the verdict begins
    framework  "torch" or "jax"
    """

    option: str
    function: Callable[..., Any]
    like: str
    expected: str
    framework: str = "torch"


def available() -> dict[str, str]:
    """Module of an adapter -> "" if its library and framework are installed, else why it is skipped."""
    reasons = {}
    for name, library in LIBRARIES.items():
        framework = "jax" if name in ("tunix", "rlax") else "torch"
        missing = [part for part in (framework, name) if util.find_spec(part) is None]
        reasons[name] = f"{library}: {' and '.join(missing)} not installed" if missing else ""
    return reasons


def adapted(name: str) -> tuple[str, list[Adapted]]:
    """The installed version of a library, and its functions."""
    room = importlib.import_module(f"{__name__}.{name}")
    return metadata.version(PACKAGES.get(name, name)), room.adapted()


@contextmanager
def standing_in(packages: dict[str, str], **others: dict[str, Any]) -> Iterator[None]:
    """While it lasts, packages are empty but for their folders, and modules that are missing hold what is given.

    packages  dotted name -> its folder, so that submodules load without the package's own __init__
    others    name with __ for dots -> attributes
    """
    before = dict(sys.modules)
    for name, folder in packages.items():
        sys.modules[name] = ModuleType(name)
        sys.modules[name].__path__ = [folder]
    for name, attributes in others.items():
        module = ModuleType(name.replace("__", "."))
        vars(module).update(attributes)
        sys.modules[module.__name__] = module
    try:
        yield
    finally:
        for name in [*packages, *(name.replace("__", ".") for name in others)]:
            sys.modules.pop(name, None)
        sys.modules.update({name: module for name, module in before.items() if name not in sys.modules})

"""What a user brings in a Python file of their own: FILE.py:name on the command line.

The file is run anew at each call, with its folder on the path, as `python FILE.py` would run it.

A run's config.json knows it by its size and its SHA-256 digest: a changed file is another choice, and --resume says so.
"""
import hashlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

from rlscratch import check


def load(text: str) -> Any:
    """What FILE.py calls `name`.

    Raises ValueError for a text of another form, a file that is not there or that fails, and a name it does not have.
    """
    path, name = _parts(text)
    module = _run(text, path.resolve())
    if not hasattr(module, name):
        there = ", ".join(known for known in vars(module) if not known.startswith("_"))
        check.fail(text, name, f"a name of {path}, which has {there or 'none'}")
    return getattr(module, name)


def described(text: str) -> str:
    """FILE.py:name by the name and the content of its file.  Raises ValueError as `load` does."""
    path, name = _parts(text)
    return f"{name}, {content(path)}"


def content(path: Path) -> str:
    """What a file holds, by its size and its digest."""
    found = path.read_bytes()
    return f"{len(found)} bytes, SHA-256 {hashlib.sha256(found).hexdigest()[:16]}..."


def _parts(text: str) -> tuple[Path, str]:
    file, _, name = text.rpartition(":")
    path = Path(file)
    if path.suffix != ".py" or not name.isidentifier():
        check.fail(text, text, "FILE.py:name, what a Python file calls by that name")
    if not path.is_file():
        check.fail(text, file, "a file that is there")
    return path, name


def _run(text: str, path: Path) -> Any:
    """The file as a module."""
    spec = importlib.util.spec_from_file_location(f"brought_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module             # a dataclass looks itself up there
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as wrong:
        check.fail(text, f"{type(wrong).__name__}: {wrong}", "a file that Python can run")
    finally:
        sys.path.remove(str(path.parent))
    return module

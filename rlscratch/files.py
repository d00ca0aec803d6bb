"""Files that a user can trust: nothing is lost when they are written, and damage is named when they are read.

A file is filled beside its place and renamed, so what stands there is whole: the old one or the new one.  A file of
JSON may carry a seal, the SHA-256 of all else that it says.  A flipped bit, or a hand, then shows when it is read:

    {"step": 3, "sha256": "c9f1..."}        the digest is that of json.dumps({"step": 3}, indent=1)

Leaves out: locks (train.run); repair.
"""
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

SEAL = "sha256"
_PART = re.compile(r"\..+\.\d+\.part")


class Fields(dict):
    """An object of a JSON file that is asked for its fields by name; one that is missing is named with its file."""

    where: str = ""

    def __missing__(self, name: str) -> NoReturn:
        known = ", ".join(map(repr, self)) or "none"
        raise ValueError(f"the field {name!r} of {self.where} is missing; it has {known}")

    def get_as(self, kind: type | tuple[type, ...], name: str) -> Any:
        """A field of that type; true and false are no numbers."""
        value, kinds = self[name], kind if isinstance(kind, tuple) else (kind,)
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            wanted = " or ".join(_NAMES[one] for one in kinds)
            raise ValueError(f"the field {name!r} of {self.where} is {value!r:.80}; expected {wanted}")
        return value


_NAMES = {Fields: "one JSON object", dict: "an object", list: "a list", str: "a text", int: "an integer",
          float: "a number", bool: "true or false", type(None): "null"}


def write_atomic(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `path`, flush it to disk, and rename it onto `path`.

    An OSError, for a disk that is full say, names the path.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with _named(path):
        try:
            write(part)
            with open(part, "rb+") as file:
                os.fsync(file.fileno())
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)


def append_line(path: Path, content: dict[str, Any], sync: bool = False) -> None:
    """Add an object to a file with one a line: all of it, or nothing and an OSError that names the path.

    sync  it is on the disk when this returns
    """
    with _named(path), open(path, "ab", buffering=0) as file:
        before, left = file.tell(), f"{json.dumps(content)}\n".encode()
        try:
            while left:
                left = left[file.write(left):]
            if sync:
                os.fsync(file.fileno())
        except BaseException:
            file.truncate(before)
            raise


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Within it an OSError, which for a full disk names no file, names this one."""
    try:
        yield
    except OSError as failure:
        if failure.errno is not None and failure.filename is None:
            failure.filename = str(path)
        raise


def remove_parts(folder: Path) -> None:
    """Remove the temporary files of write_atomic that killed processes left in a folder which nobody else writes to."""
    for path in folder.iterdir():
        if _PART.fullmatch(path.name):
            path.unlink(missing_ok=True)


def write_json(path: Path, content: Any, seal: bool = False, ascii: bool = True) -> None:
    """Write JSON atomically, an object with its seal if `seal`.  Raises TypeError for what JSON cannot hold."""
    text = _text(content) if ascii else json.dumps(content, indent=1, ensure_ascii=False)
    if seal:
        text = _text(content | {SEAL: hashlib.sha256(text.encode()).hexdigest()})
    write_atomic(path, lambda part: part.write_text(text + "\n", "utf-8"))


def read_json(path: Path, sealed: bool = False) -> Fields:
    """The object in a file of JSON.  Raises ValueError, naming the file, for damage and, if `sealed`, a broken seal."""
    content = parsed(path.read_bytes(), str(path))
    if sealed:
        told = content.get_as(str, SEAL)
        del content[SEAL]
        if told != hashlib.sha256(_text(content).encode()).hexdigest():
            raise ValueError(f"{path} is not as it was written: its {SEAL} is another; expected a file that neither a "
                             "disk nor a hand has changed")
    return content


def read_lines(path: Path) -> list[Fields]:
    """The objects of a file with one a line.  Raises ValueError, naming file and line, for one that is none."""
    return [parsed(line, f"line {number} of {path}") for number, line in enumerate(path.read_bytes().splitlines(), 1)]


def parsed(text: bytes | str, where: str, kind: type = Fields) -> Any:
    """One object of JSON, or one list if `kind` is list; its objects know where they stand."""
    def known(fields: dict[str, Any]) -> Fields:
        one = Fields(fields)
        one.where = where
        return one

    try:
        content = json.loads(text, object_hook=known)
    except (ValueError, RecursionError) as damage:
        raise ValueError(f"{where} is no JSON: {damage}; expected {_NAMES[kind]}, whole") from damage
    if not isinstance(content, kind):
        raise ValueError(f"{where} is {content!r:.80}; expected {_NAMES[kind]}")
    return content


def digest(path: Path) -> str:
    """The SHA-256 of a file, as the command sha256sum prints it."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, SEAL).hexdigest()


def _text(content: Any) -> str:
    return json.dumps(content, indent=1)

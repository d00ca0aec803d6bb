"""What we say of other libraries: libraries.json, and a command that compares its versions with those installed.

A library changes every month, so a sentence about it holds for a version.  libraries.json has every such sentence of
the package, once: the words, the files that say them, and for each library they name the version and how it was
checked, "run" or "read".  A date stands where no version was looked at.  A test holds that no other sentence of the
package names a library, so a newer version can be gone through by this list:

    rlscratch libraries              the sentences that a newer installed version may have changed
    rlscratch libraries --all        all of them
    rlscratch libraries --rosetta docs/rosetta.md    run the losses of those installed, and write what each option is
"""
import argparse
import ast
import json
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from rlscratch import check
from rlscratch.conformance import adapters, examine
from rlscratch.files import write_atomic

FILE = Path(__file__).with_name("libraries.json")
# As the sentences write them: the name on the package registry, where it has one.
NAMES = {
    "TRL": "trl", "veRL": "verl", "OpenRLHF": "openrlhf", "NeMo-RL": "nemo-rl", "open-instruct": "", "GRPO-Zero": "",
    "TinyZero": "", "rlhf-book": "", "CleanRL": "cleanrl", "Stable-Baselines3": "stable-baselines3",
    "OpenAI Baselines": "baselines",
}


ABOUT = [
    "Written by `rlscratch libraries --rosetta docs/rosetta.md`; each row is a run. The library's function is called",
    "as it stands, with float64 tensors on the batch of `rlscratch/conformance/batches.py`. Its gradient is compared",
    "with every convention that we know. \"To 2e-09\" is the relative distance: a small number was added to a",
    "denominator, or a constant was float32. Two libraries that write one name may mean two things, and each is right",
    "under its own reading.",
]


class Sentence(NamedTuple):
    """One sentence: its words, the files that say it, and library -> (version or date, "run" or "read")."""

    says: str
    files: tuple[str, ...]
    checked: dict[str, tuple[str, str]]


def sentences() -> list[Sentence]:
    """All of libraries.json.

    >>> {how for sentence in sentences() for _, how in sentence.checked.values()} <= {"run", "read"}
    True
    """
    rows = json.loads(FILE.read_text("utf-8"))["sentences"]
    return [Sentence(row["says"], tuple(row["files"]), {name: tuple(c) for name, c in row["checked"].items()})
            for row in rows]


def plain(source: str) -> str:
    """The words of a page, or of a Python file's strings, with single spaces."""
    try:
        strings = [node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)]
    except SyntaxError:                                 # a page
        strings = [source]
    return " ".join(" ".join(text for text in strings if isinstance(text, str)).split())


def installed(library: str) -> str:
    """The version that is installed here, or ""."""
    try:
        return metadata.version(NAMES[check.one_of(tuple(NAMES), library=library)] or "-")
    except (metadata.PackageNotFoundError, ValueError):
        return ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `rlscratch libraries`."""
    parser.add_argument("--all", action="store_true", help="print every sentence, not only those to look at again")
    parser.add_argument("--rosetta", metavar="PAGE.md", help="write what options of installed libraries mean instead")


def run(args: argparse.Namespace) -> int:
    """Print sentences with their versions, or write the page; 0."""
    if args.rosetta:
        page = rosetta()
        write_atomic(Path(args.rosetta), lambda part: part.write_text(page, "utf-8"))
        return 0
    shown = 0
    for sentence in sentences():
        states = []
        for library, (version, how) in sentence.checked.items():
            here = installed(library)
            newer = f"; {here} is installed" if here not in ("", version) else ""
            states.append(f"{library} {version}, {how}{newer}")
        if args.all or any("is installed" in state for state in states):
            shown += 1
            print(f"{sentence.says}\n    " + "\n    ".join([*states, *sentence.files]) + "\n")
    print(f"{shown} of {len(sentences())} sentences" + ("" if args.all else
          ": those whose library is installed here in another version than the one that was looked at"))
    return 0


def rosetta() -> str:
    """A page: every option of the adapters whose libraries are installed, and what its gradient is, by running it."""
    lines = ["# What an option of a library means", "", *ABOUT, ""]
    for name, reason in adapters.available().items():
        if reason:
            lines += [f"Not run: {reason}.", ""]
            continue
        version, rows = adapters.adapted(name)
        lines += [f"## {adapters.LIBRARIES[name]} {version}, {date.today():%B %Y}", "",
                  "| option | its gradient is | laws it breaks |", "| --- | --- | --- |"]
        for row in rows:
            verdict = examine(row.function, row.like, framework=row.framework)
            words = str(verdict).splitlines()[0].removeprefix("agrees with ").replace("|", "&#124;")
            laws = "; ".join(sentence for _, sentence in verdict.breaches)
            lines.append(f"| {row.option} | {words} | {laws} |")
        lines.append("")
    return "\n".join(lines)

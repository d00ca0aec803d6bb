"""rlscratch notebook NN: one rung of the ladder as a Jupyter notebook, to change and run cell by cell.

The docstring becomes the first text, with the title as heading.  Each "# %%" starts a cell: the comment
that begins there becomes text, its first sentence a heading, and the code below it a code cell.  Nothing
is run.  In a notebook a figure is shown below the cell that draws it, and saved as by the script.
"""
import argparse
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from rlscratch.files import write_atomic
from rlscratch.report.table import table
from rlscratch.report.tour import ladder
from rlscratch.report.tour.ladder import Rung

KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
MARKED = re.compile(r"([\\*_\[\]<>$|~#])")              # what Markdown would take for its own


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `python -m rlscratch notebook`."""
    parser.add_argument("number", type=int, nargs="?", help="of the example; without it, all are listed")
    parser.add_argument("--out", type=Path, default=Path("."), metavar="FOLDER", help="where the notebook goes")


def run(args: argparse.Namespace) -> int:
    """Write the notebook and print its path, or list the examples.

    Raises ValueError for a number that no example has, FileNotFoundError where there are no examples, and
    FileExistsError rather than write over a notebook.
    """
    rungs = {int(rung.name[:2]): rung for rung in ladder.shipped()}
    if args.number is None:
        print(table(("number", "seconds", "example"), [(n, rung.budget, rung.title) for n, rung in rungs.items()]))
        return 0
    if args.number not in rungs:
        raise ValueError(f"there is no example {args.number}; rlscratch notebook lists those that there are")
    rung = rungs[args.number]
    path = args.out / f"{rung.name}.ipynb"
    if path.exists():
        raise FileExistsError(f"{path} exists and may hold your changes; move it, or choose another folder with --out")
    args.out.mkdir(parents=True, exist_ok=True)
    write_atomic(path, lambda part: nbformat.write(notebook(rung), part))
    print(path)
    return 0


def notebook(rung: Rung) -> NotebookNode:
    """The rung as a notebook, its cells numbered so that the same script gives the same file."""
    cells = list(_cells(rung))
    for i, cell in enumerate(cells):
        cell["id"] = f"cell-{i}"
    made = new_notebook(cells=cells, metadata={"kernelspec": KERNEL})
    nbformat.validate(made)
    return made


def _cells(rung: Rung) -> Iterator[NotebookNode]:
    yield new_markdown_cell(f"# {rung.name[:2]}. {_plain(rung.title)}\n\n{_plain(rung.lesson)}")
    opening, *parts = re.split(r"^# %%", rung.source.split('"""', 2)[2], flags=re.MULTILINE)
    yield new_code_cell(opening.strip())
    for part in parts:
        said, code = _told(part)
        if said:
            heading, _, rest = re.sub(r"(?<=[.?:])\s+(?=[A-Z*\"])", "\n", said, count=1).partition("\n")
            yield new_markdown_cell(f"## {_plain(heading.rstrip('.'))}\n\n{_plain(rest)}".rstrip())
        if code:
            yield new_code_cell(code)


def _told(part: str) -> tuple[str, str]:
    """A cell's comment, as one paragraph, and its code."""
    first, *lines = part.split("\n")
    told = [first.strip()]
    while lines and lines[0].startswith("#"):
        told.append(lines.pop(0).lstrip("# "))
    return " ".join(filter(None, told)), "\n".join(lines).strip()


def _plain(text: str) -> str:
    """Text that Markdown shows as it stands; what stands in `backticks` is code there too."""
    spans = text.split("`")
    return "`".join(span if i % 2 else MARKED.sub(r"\\\1", span) for i, span in enumerate(spans))

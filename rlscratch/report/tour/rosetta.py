"""What the options of other libraries mean, as docs/rosetta.md has it, which `rlscratch libraries` wrote.

Each row is a run.  docs/ is not installed with the package; without it there are no tables.
"""
import html
import re

from rlscratch.report.tour import ladder

Table = tuple[str, list[str], list[list[str]]]


def tables() -> list[Table]:
    """Of each library its name with version and month, the names of the columns, and the rows."""
    path = ladder.ROOT / "docs" / "rosetta.md"
    parts = re.split(r"^## ", path.read_text("utf-8"), flags=re.M)[1:] if path.exists() else []
    found = []
    for part in parts:
        name, *lines = part.splitlines()
        names, _, *rows = [[html.unescape(cell).strip() for cell in line.strip("|").split("|")]
                           for line in lines if line.startswith("|")]
        found.append((name, names, rows))
    return found

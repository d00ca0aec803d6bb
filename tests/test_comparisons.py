"""docs/comparisons.md: each cell has what shows it or the word opinion, and each link leads to what it names."""
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGE = (DOCS / "comparisons.md").read_text("utf-8")
LINK = re.compile(r"\[`?(\w+)`?\]\((\S+?)\)")
pytestmark = pytest.mark.compiled_only("reads files", kernels=())


def cells(page):
    """The cells of the page's tables, but for their heads and first columns."""
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| ")]
    return [cell for row in rows if row[0] not in ("aspect", "---") for cell in row[1:]]


def faults(page):
    """Cells without ground, and links that lead to nothing of their name."""
    found = [cell for cell in cells(page) if not LINK.search(cell) and not cell.endswith("*opinion*")]
    for name, place in LINK.findall(page):
        path = DOCS / place
        if not path.is_file() or not (
                path.name.startswith(f"{name}_") or f"def {name}(" in path.read_text("utf-8")):
            found.append(place)
    return found


def test_both_tables_of_the_document_are_there_whole():
    assert len(cells(PAGE)) == 2 * 12 + 2 * 12 and not faults(PAGE)


@pytest.mark.parametrize("planted", [
    "| goal | bare | [35](../examples/35_dqn_on_the_lake.py) |", "[34](../examples/35_dqn_on_the_lake.py)",
    "[`test_of_nothing`](../tests/test_train_dqn.py)", "[35](../examples/35_gone.py)"])
def test_a_cell_without_ground_and_a_dead_link_would_be_noticed(planted):
    assert len(faults(PAGE + planted)) == 1

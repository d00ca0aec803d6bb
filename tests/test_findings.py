"""docs/findings: each page asks, answers in two sentences, derives, and runs: its script prints what the page shows.

    python tests/test_findings.py --update     runs all scripts and writes what they print into their pages
"""
import contextlib
import io
import re
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "findings"
PAGES = sorted(path for path in FOLDER.glob("*.md") if path.name != "README.md")
SCRIPT = re.compile(r"```python\n(.*?)```\n\n```text\n(.*?)```\n", re.S)


def printed(script):
    """What a script prints."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(script, "finding", "exec"), {"__name__": "finding"})
    return out.getvalue()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_script_of_a_page_prints_what_the_page_shows(page):
    (script, shown), = SCRIPT.findall(page.read_text("utf-8"))
    assert len(script.splitlines()) <= 30
    assert printed(script) == shown


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_asks_answers_shortly_and_derives(page):
    text = page.read_text("utf-8")
    title, answer, rest = re.match(r"# (.*?)\n\n(.*?)\n\n(.*)", text, re.S).groups()
    assert title.endswith("?")
    assert len(re.findall(r"[.!](?=\s|$)", answer)) == 2, answer
    assert "## Derivation" in rest and max(map(len, text.splitlines())) <= 120


def test_the_index_lists_every_page_by_its_question():
    index = (FOLDER / "README.md").read_text("utf-8")
    listed = dict(re.findall(r"^- \[(.*?)\]\((.*?)\)$", index, re.M))
    assert listed == {page.read_text("utf-8").splitlines()[0][2:]: page.name for page in PAGES}


def test_a_page_that_shows_another_number_would_be_noticed():
    (script, shown), = SCRIPT.findall(PAGES[0].read_text("utf-8"))
    assert printed(script.replace("print(", "print('planted', ", 1)) != shown


if __name__ == "__main__":
    if "--update" not in sys.argv:
        sys.exit("give --update to write what the scripts print into their pages")
    for path in PAGES:
        text = path.read_text("utf-8")
        path.write_text(SCRIPT.sub(lambda m: f"```python\n{m[1]}```\n\n```text\n{printed(m[1])}```\n", text), "utf-8")

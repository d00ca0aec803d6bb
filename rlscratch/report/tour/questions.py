"""The findings: questions that people ask, each with its answer in two sentences and the script that shows it.

A page of docs/findings/ has the question in its first line, then the answer, the derivation, and a script with what it
prints.  The script is run as a rung of the ladder is.  docs/ is not installed with the package; without it there are
no findings.
"""
import re
from dataclasses import dataclass
from pathlib import Path

from rlscratch.report.tour import ladder
from rlscratch.report.tour.ladder import Rung

BUDGET = .25            # seconds of processor time for each; most of them are NumPy's to start
PAGE = re.compile(r"# (?P<title>[^\n]+)\n\n(?P<answer>.+?)\n\n## Derivation\n\n(?P<derivation>.*?)\n+## Run\n\n"
                  r"```python\n(?P<script>.*?)```\n\n```text\n(?P<shown>.*?)```\n", re.S)


@dataclass(frozen=True)
class Question(Rung):
    """One page: the question is its title, the answer its lesson; `shown` is what the script printed when written."""

    derivation: str = ""
    shown: str = ""

    @property
    def label(self) -> str:
        """The question."""
        return self.title

    @property
    def command(self) -> list[str]:
        """The script itself: no file has it alone."""
        return ["-P", "-c", self.source]

    @property
    def expected(self) -> str:
        """What the page shows."""
        return self.shown


def shipped() -> list[Question]:
    """The findings beside the package, by the names of their files; none where only the package is installed."""
    pages = sorted((ladder.ROOT / "docs" / "findings").glob("*.md"))
    return [read(page) for page in pages if page.name != "README.md"]


def read(path: Path) -> Question:
    """A finding from its page.  Raises ValueError, naming the file, if a part of it is missing."""
    found = PAGE.fullmatch(path.read_text("utf-8"))
    if found is None:
        raise ValueError(f"{path} is no finding; expected a question, its answer, Derivation, and Run with a script "
                         "and what it prints")
    return Question(path, found["title"], found["answer"].strip(), BUDGET, found["script"],
                    derivation=found["derivation"], shown=found["shown"].rstrip())

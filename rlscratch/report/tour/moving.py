"""Figures that train a small model first: each is made in a process of its own, while examples run in others."""
from dataclasses import dataclass
from pathlib import Path

from rlscratch.report import widgets
from rlscratch.report.tour.ladder import Rung

BUDGET = 9              # seconds of processor time for each


@dataclass(frozen=True)
class Moving(Rung):
    """One of report.widgets; its output is the HTML."""

    @property
    def command(self) -> list[str]:
        """The package prints it."""
        return ["-P", "-m", widgets.__name__, self.title]


def shipped() -> list[Moving]:
    """Those of them that train."""
    return [Moving(Path(name), name, "", BUDGET, "") for name in widgets.TRAINED]

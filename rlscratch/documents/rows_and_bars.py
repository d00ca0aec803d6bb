"""Rows of probabilities, rankings and drawn bars: what several documents print, and how it is checked."""
import numpy as np

from rlscratch import check
from rlscratch.formulas import distribution, preference


def row_sum(*row: float) -> float:
    """The sum of a row that passes for a distribution; ValueError for one that does not."""
    return float(check.probabilities(row=row).sum())


def row_total(*row: float) -> float:
    """The sum of any positive row, read from what normalises it: log p - log_softmax(log p) = log sum p."""
    logits = np.log(row)
    return float(np.exp(logits - distribution.log_softmax(logits))[0])


def pairs(answers: int) -> float:
    """How many pairs the ranking loss averages over, read from its gradient at equal scores.

    Each pair that the best answer is in pulls it up by 1/2, over the number of pairs.
    """
    return (answers - 1) / 2 / -preference.ranking_grad(np.zeros(answers))[0]


def share(filled: int, empty: int) -> float:
    """How much of a drawn bar is filled.

    Proof: tests/test_documents.py, test_bars_are_counted_by_hand
    """
    return filled / (filled + empty)


def blocks(*row: float, size: float) -> tuple[float, ...]:
    """How many blocks of `size` each probability takes.

    Proof: tests/test_documents.py, test_bars_are_counted_by_hand
    """
    return tuple(p / size for p in row)

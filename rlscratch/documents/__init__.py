"""The worked numbers of five teaching documents, each beside what our formulas give.

    entries()    every number, in reading order          (entry.Entry says what a line holds)
    errata()     where document and formula part, or agree under one convention, in reading order   (errata.py)

`python -m rlscratch ledger` prints the table (ledger.py).
"""
from dataclasses import replace

from rlscratch.documents import (
    d000_q_learning,
    d001_introduction,
    d002_ppo_and_grpo,
    d003_distributions_to_policies,
    d004_fundamentals,
)
from rlscratch.documents.entry import Entry
from rlscratch.documents.proofs import proof_of

DOCUMENTS = {
    "000": "How does LLM work ? - Part 1",
    "001": "RL Introduction",
    "002": "How does LLM work ? - Part 6",
    "003": "Understanding LLMs: From Probability Distributions to Intelligent Policies",
    "004": "Fundamentals of Reinforcement Learning",
}

READING_ORDER = (
    *d000_q_learning.ENTRIES, *d001_introduction.ENTRIES, *d002_ppo_and_grpo.ENTRIES,
    *d003_distributions_to_policies.ENTRIES, *d004_fundamentals.ENTRIES,
)


def entries() -> list[Entry]:
    """Every entry, in reading order, with the test that proves its formula."""
    return [replace(entry, proof=proof_of(entry.source)) for entry in READING_ORDER]

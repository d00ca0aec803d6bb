"""The worked numbers of five teaching documents, each beside what our formulas give.

    entries()    every number, in reading order          (entry.Entry says what a line holds)
    errata()     what is wrong or hangs on a convention, in reading order   (errata.py)

`python -m rlscratch ledger` prints the table (ledger.py).
"""
from dataclasses import replace

from rlscratch.documents import derivation, fundamentals, introduction, policies, ppo_grpo, q_learning, rlhf, rollouts
from rlscratch.documents.entry import Entry
from rlscratch.documents.proofs import PROOFS

DOCUMENTS = {
    "000": "How does LLM work ? - Part 1",
    "001": "RL Introduction",
    "002": "How does LLM work ? - Part 6",
    "003": "Understanding LLMs: From Probability Distributions to Intelligent Policies",
    "004": "Fundamentals of Reinforcement Learning",
}

READING_ORDER = (
    *q_learning.ENTRIES, *introduction.ENTRIES, *ppo_grpo.ENTRIES,
    *policies.ENTRIES, *rollouts.ENTRIES, *rlhf.ENTRIES, *derivation.ENTRIES, *policies.QUESTIONS,
    *fundamentals.ENTRIES,
)


def entries() -> list[Entry]:
    """Every entry, in reading order, with the test that proves its formula."""
    return [replace(entry, proof=PROOFS.get(entry.source, "")) for entry in READING_ORDER]

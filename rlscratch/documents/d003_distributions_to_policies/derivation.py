"""Document 003, "The Complete Mathematical Derivation" and the numerical example after it."""
from functools import partial

import numpy as np

from rlscratch.documents.d003_distributions_to_policies.distributions import row
from rlscratch.documents.entry import PINNED, Entry
from rlscratch.formulas import distribution, kl, policy_gradient

F = "rlscratch.formulas."
AVERAGE, CONCRETE = "Derivation, Step 2", "Concrete Example"
EXAMPLE = "Numerical Example"
entry = partial(Entry, document="003")

FOUR = (0.6, 0.2, 0.2)                                         # "4", "5", "Fish"
DIRECTION = np.array([0.1, -0.2, 0.3])                         # the document's gradient of log π
LOG_06, LOG_05, BETA = np.log(0.6), np.log(0.5), 0.01


def update(beta: float) -> np.ndarray:
    """The safe update of the concrete example, with the policy still at its reference: (0.9 - β) g."""
    coefficient = kl.kl_coefficient([0.9], np.log([0.4]), np.log([0.4]), beta)
    return policy_gradient.log_derivative_estimate(DIRECTION[None], coefficient)


TWO_AND_TWO = (
    row("S3.four.p", AVERAGE, 'the answers "4", "5" and "Fish"', *FOUR),
    entry(
        id="S3.four.avg", section=AVERAGE, claim='Only "4" is rewarded, so the average reward is its probability.',
        formula="0.6·1 + 0.2·0 + 0.2·0", printed=0.6, exact=0.6, tolerance=0.05, verdict="exact", kind="computed",
        compute=lambda: distribution.expected_reward(FOUR, (1.0, 0.0, 0.0)),
        source=F + "distribution.expected_reward"),
)

PARIS = (
    entry(
        id="S3.paris.reward", section=f"{CONCRETE}, Step 2", claim='The answer "Paris" earns 0.9.',
        formula="R(Paris) = 0.9", printed=0.9, exact=0.9, tolerance=0.05, verdict="convention", kind="input",
        otherwise=lambda: 1.0,
        note="Part 6 of the same document scores the same answer, with the same probability 0.4, at 1.0. The updates "
             "below use 0.9, the expected rewards of part 6 use 1.0."),
    entry(
        id="S3.score.paris", section=f"{CONCRETE}, Step 3",
        claim='The direction that raises log π("Paris"), for a softmax over the four answers.',
        formula="e_a - p = (1 - 0.4, -0.3, -0.2, -0.1)", printed=None, exact=(0.6, -0.3, -0.2, -0.1),
        tolerance=PINNED, verdict="derived", kind="computed", source=F + "policy_gradient.score",
        compute=lambda: policy_gradient.score(np.log((0.4, 0.3, 0.2, 0.1)), np.array(0)),
        note="The document shows a free illustration, (0.1, -0.2, 0.3, ...), as if of a model with many parameters."),
    entry(
        id="S3.update.raw", section=f"{CONCRETE}, Step 4",
        claim="The update is the reward times the direction: 0.09, -0.18, 0.27.",
        formula="0.9·(0.1, -0.2, 0.3)", printed=(0.09, -0.18, 0.27), exact=(0.09, -0.18, 0.27), tolerance=0.005,
        verdict="exact", kind="computed", source=F + "policy_gradient.log_derivative_estimate",
        compute=lambda: policy_gradient.log_derivative_estimate(DIRECTION[None], [0.9])),
    entry(
        id="S3.update.final", section=f"{CONCRETE}, Step 5",
        claim="The safety brake shrinks the update to 0.08, -0.15, 0.22.",
        formula="(R - β(1 + log(π/π_ref))) g, here 0.8·(0.1, -0.2, 0.3)", printed=(0.08, -0.15, 0.22),
        exact=(0.08, -0.16, 0.24), tolerance=0.005, verdict="differs", kind="computed", compute=lambda: update(0.1),
        otherwise=lambda: np.round(update(0.15), 2), source=F + "kl.kl_coefficient",
        planted={"beta": 0.0},
        note="The brake of the document's own formula is one number for the whole vector. The printed components are "
             "0.8, 0.75 and 0.733 times the direction: three numbers. A first component of 0.08 goes with -0.16 and "
             "0.24. Only 0.75 fits all three, as 0.075, -0.15, 0.225 with both halves rounded to the even digit."),
)

NUMBERS = (
    entry(
        id="S3.kl.log06", section=EXAMPLE, claim='The policy gives "4" 0.6, whose logarithm is -0.511.',
        formula="ln 0.6", printed=-0.511, exact=-0.510826, tolerance=0.0005, verdict="rounds", kind="computed",
        compute=lambda: distribution.log_softmax((np.log(3), 0.0, 0.0))[0], source=F + "distribution.log_softmax",
        note="The natural logarithm; to base 10 it is -0.222, to base 2 -0.737. Scores ln 3, 0, 0 give 0.6, 0.2, 0.2."),
    entry(
        id="S3.kl.log05", section=EXAMPLE, claim='The reference gives "4" 0.5, whose logarithm is -0.693.',
        formula="ln 0.5", printed=-0.693, exact=-0.693147, tolerance=0.0005, verdict="rounds", kind="computed",
        compute=lambda: distribution.log_softmax((0.0, 0.0))[0], source=F + "distribution.log_softmax"),
    entry(
        id="S3.kl.term", section=EXAMPLE, claim="The KL term of this sample is 1.182.",
        formula="1 + ln 0.6 - ln 0.5", printed=1.182, exact=1.182322, tolerance=0.0005, verdict="rounds",
        kind="computed", compute=lambda: -kl.kl_coefficient(0.0, LOG_06, LOG_05, 1.0),
        source=F + "kl.kl_coefficient", planted={"beta": 0.5}),
    entry(
        id="S3.kl.coeff", section=EXAMPLE, claim="With β = 0.01 the reward of 1 becomes a coefficient of 0.988.",
        formula="1 - 0.01·(1 + ln 0.6 - ln 0.5)", printed=0.988, exact=0.988177, tolerance=0.0005, verdict="rounds",
        kind="computed", compute=lambda: kl.kl_coefficient(1.0, LOG_06, LOG_05, BETA),
        source=F + "kl.kl_coefficient", planted={"beta": 0.0},
        note="The 1 in the KL term is a constant baseline: it changes this sample's coefficient and not the mean "
             "gradient."),
    entry(
        id="S3.kl.coeff_without_1", section=EXAMPLE,
        claim="Libraries take the plain log-ratio out of the reward, without the 1.",
        formula="1 - 0.01·(ln 0.6 - ln 0.5)", printed=None, exact=0.998177, tolerance=PINNED, verdict="derived",
        kind="computed", compute=lambda: 1 - BETA * kl.kl_k1(LOG_06, LOG_05), source=F + "kl.kl_k1",
        note="The form of TRL's RLOO, veRL and OpenRLHF; the same gradient on average."),
    entry(
        id="S3.beta.default", section="Implementation Code", claim="The code's β is 0.01 unless told otherwise.",
        formula="β = 0.01", printed=0.01, exact=0.01, tolerance=0.005, verdict="exact", kind="input",
        note="Used by the numerical example. Defaults elsewhere: 0.0 (TRL's GRPO), 0.05 (TRL's RLOO)."),
)

ENTRIES = (*TWO_AND_TWO, *PARIS, *NUMBERS)

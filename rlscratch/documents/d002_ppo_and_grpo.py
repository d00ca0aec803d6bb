"""Document 002, "How does LLM work ? - Part 6": RLHF with PPO and with GRPO, on "I like ice ___".

Its two worked examples run on a row of three words: PPO takes one word, a value estimate and
the ratio of two policies; GRPO compares the rewards of all three.
"""
from functools import partial

import numpy as np

from rlscratch.documents.entry import PINNED, Entry
from rlscratch.documents.rows_and_bars import pairs, row_sum, row_total
from rlscratch.formulas import distribution, grpo, ppo, returns

WORDS = ("cream", "hockey", "donkey")
REWARDS = (10.0, 5.0, -10.0)
PI_OLD = (0.33, 0.33, 0.33)                  # as printed; a third each is meant
THIRDS = (1 / 3, 1 / 3, 1 / 3)
PI_NEW = (0.50, 0.40, 0.10)
PI_FINAL = (0.96, 0.03, 0.01)
VALUE, EPS = 3.0, 0.2
ONE = np.ones((1, 1))

F = "rlscratch.formulas."
entry = partial(Entry, document="002")


def spread(**choice: float) -> float:
    """The standard deviation of the rewards: their differences, over those of the advantages."""
    advantage = grpo.group_advantage(REWARDS, **choice)
    return (REWARDS[0] - REWARDS[-1]) / (advantage[0] - advantage[-1])


def grpo_losses() -> list[float]:
    """-A_i log pi(a_i) of each word alone, at the uniform policy."""
    logp, advantage = np.log(THIRDS), grpo.group_advantage(REWARDS)
    return [grpo.grpo_loss(np.full((1, 1), lp), np.full((1, 1), a), ONE)
            for lp, a in zip(logp, advantage, strict=True)]


RLHF = (
    entry(
        id="S2.rank.pairs", section="Step 2: Reward Model Training",
        claim="A labeler ranks four answers from best to worst, D > C > A > B; the reward model learns from that.",
        formula="K(K - 1)/2 = 4·3/2 pairs: DC DA DB CA CB AB", printed=None, exact=6.0, tolerance=PINNED,
        verdict="derived", kind="computed", compute=lambda: pairs(4), source=F + "preference.ranking_grad",
        note="One ranking of four carries six comparisons; the document does not count them."),
    entry(
        id="S2.reward.table", section="Comparison: ChatGPT (RLHF) vs. Deep Q-Learning (FrozenLake)",
        claim="FrozenLake pays +1 at the goal, -1 in a hole and 0 elsewhere.",
        formula="r(goal), r(hole), r(ice) = 1, -1, 0", printed=(1, -1, 0), exact=(1, -1, 0), tolerance=0.5,
        verdict="convention", kind="input", otherwise=lambda: (1, 0, 0),
        note="Document 000 and Gymnasium's FrozenLake pay 0 in a hole, not -1. With -1 the nine moves into a hole "
             "are worth -1; every other optimal value of the deterministic lake stays. Both schedules can be trained."),
    entry(
        id="S2.policy60", section="PPO Steps 1",
        claim="A first policy goes left with 60% and right with 40%.",
        formula="0.60 + 0.40", printed=None, exact=1.0, tolerance=0.005, verdict="derived", kind="restated",
        compute=lambda: row_sum(0.6, 0.4), source="rlscratch.check.probabilities",
        note="FrozenLake has four actions: Up and Down then have probability 0."),
    entry(
        id="S2.td_advantage", section="PPO Steps 3",
        claim="The advantage of a step is its reward plus the discounted value of the next state, minus the value "
              "of this one.",
        formula="A_t = r_t + γ V(s_{t+1}) - V(s_t) = 5 + 0·V - 3", printed="A_t = r_t + γ V(s_{t+1}) - V(s_t)",
        exact=2.0, tolerance=PINNED, verdict="convention", kind="statement",
        compute=lambda: returns.td_errors([5.0], [VALUE], [VALUE], 0.0)[0],
        otherwise=lambda: returns.td_errors([5.0], [VALUE], [VALUE], 0.99)[0],
        source=F + "returns.td_errors", planted={"discount": 0.99},
        note="This is the one-step TD error, GAE at λ = 0; the document's closing table names GAE without a λ. Its "
             "example uses A = r - V: one word is the whole episode, so nothing follows and γ V(s_{t+1}) is 0. With "
             "γ = 0.99 and a next state worth 3 as well, A would be 4.97."),
)

PPO = (
    entry(
        id="S2.pi_old.sum", section="Step 1: Define the Policy",
        claim="The untrained policy gives cream, hockey and donkey 0.33 each.",
        formula="0.33 + 0.33 + 0.33", printed=None, exact=0.99, tolerance=0.005, verdict="derived", kind="computed",
        compute=lambda: row_total(*PI_OLD), otherwise=lambda: row_total(*THIRDS),
        source=F + "distribution.log_softmax",
        note="A third each, rounded: as printed the row adds to 0.99, which our argument checks refuse. With 1/3 it "
             "adds to 1, and the ratio of step 6 moves from 1.2121 to 1.2, exactly onto the clip bound."),
    entry(
        id="S2.reward.hockey", section="Step 3: Get a Reward", claim="The sampled word, hockey, earns 5.",
        formula="r(hockey) = 5", printed=5, exact=5, tolerance=0.5, verdict="exact", kind="input",
        note="Used by the advantage of step 4, and as the second reward of the group in GRPO."),
    entry(
        id="S2.advantage", section="Step 4: Estimate the Advantage",
        claim="With a value estimate of 3 for the prompt, hockey did better than expected by 2.",
        formula="A = r - V(s) = 5 - 3", printed=2, exact=2.0, tolerance=0.5, verdict="exact", kind="computed",
        compute=lambda: returns.td_errors([5.0], [VALUE], [0.0], 0.0)[0], source=F + "returns.td_errors",
        note="V = 3 is assumed; the uniform policy's mean reward is 1.6667."),
    entry(
        id="S2.pi_new.sum", section="Step 5: Compute the New Policy",
        claim="After a few updates the words have 0.50, 0.40 and 0.10.",
        formula="0.50 + 0.40 + 0.10", printed=None, exact=1.0, tolerance=0.005, verdict="derived", kind="restated",
        compute=lambda: row_sum(*PI_NEW), source="rlscratch.check.probabilities"),
    entry(
        id="S2.ratio", section="Step 6: Compute the PPO Ratio",
        claim="The new policy likes hockey 1.21 times as much as the old one.",
        formula="ρ = π_new/π_old = 0.40/0.33", printed=1.21, exact=1.212121, tolerance=0.005, verdict="rounds",
        kind="computed", compute=lambda: ppo.ratio(np.log(0.40), np.log(0.33)), source=F + "ppo.ratio"),
    entry(
        id="S2.ratio.third", section="Step 6: Compute the PPO Ratio",
        claim="With the old policy at a third each, as meant, the ratio sits on the clip bound.",
        formula="ρ = 0.40/(1/3)", printed=None, exact=1.2, tolerance=PINNED, verdict="derived", kind="computed",
        compute=lambda: ppo.ratio(np.log(0.40), np.log(1 / 3)), source=F + "ppo.ratio",
        note="On paper 1.2 = 1 + ε. Rounding then decides whether the clip binds: in float64 both the quotient and "
             "exp(log - log) come out above 1.2, in float32 the quotient falls below. No gradient is tested there."),
    entry(
        id="S2.clip", section="Step 7: Clip the Ratio", claim="The ratio 1.21 is cut to 1.2.",
        formula="clip(1.21, 1 - 0.2, 1 + 0.2)", printed=1.2, exact=1.2, tolerance=0.05, verdict="exact",
        kind="computed", compute=lambda: ppo.clip_ratio(1.21, EPS, EPS), source=F + "ppo.clip_ratio",
        planted={"eps_high": 0.1}),
    entry(
        id="S2.clip.bounds", section="Step 7: Clip the Ratio",
        claim="The ratio is kept between 0.8 and 1.2 when ε = 0.2.",
        formula="1 - ε, 1 + ε", printed=(0.8, 1.2), exact=(0.8, 1.2), tolerance=0.05, verdict="exact",
        kind="computed", compute=lambda: ppo.clip_ratio((0.0, 10.0), EPS, EPS), source=F + "ppo.clip_ratio",
        planted={"eps_low": 0.1, "eps_high": 0.3}),
    entry(
        id="S2.clip.objective", section="Steps 7 and 8",
        claim="The clipped surrogate is the smaller of ratio times advantage and clipped ratio times advantage.",
        formula="L = min(1.2121·2, 1.2·2)", printed=None, exact=2.4, tolerance=PINNED, verdict="derived",
        kind="computed", source=F + "ppo.ppo_clip_loss", planted={"eps_high": 0.3},
        compute=lambda: -ppo.ppo_clip_loss(np.log(0.40) * ONE, np.log(0.33) * ONE, 2.0 * ONE, ONE, EPS, EPS),
        note="Unclipped it is 2.4242. The ratio is beyond the bound and the advantage positive, so the gradient is "
             "exactly 0: step 8 says that this sample makes hockey more likely, and it no longer does."),
    entry(
        id="S2.pi_final.sum", section="Final Outcome",
        claim="After training cream has 0.96, hockey 0.03 and donkey 0.01.",
        formula="0.96 + 0.03 + 0.01", printed=None, exact=1.0, tolerance=0.005, verdict="derived", kind="restated",
        compute=lambda: row_sum(*PI_FINAL), source="rlscratch.check.probabilities"),
    *(entry(
        id=f"S2.expected.{name}", section=section, claim=f"{words} earns, on average, what its rewards weigh.",
        formula=formula, printed=None, exact=exact, tolerance=PINNED, verdict="derived", kind="computed",
        compute=partial(lambda row: distribution.expected_reward(row, REWARDS), row),
        source=F + "distribution.expected_reward",
        note="1.6667, then 6, then 9.65: the story's three policies do get better.")
      for name, section, words, formula, exact, row in (
        ("uniform", "Step 1: Define the Policy", "The uniform policy", "(10 + 5 - 10)/3", 1.666667, THIRDS),
        ("new", "Step 5: Compute the New Policy", "The new policy",
         "0.50·10 + 0.40·5 - 0.10·10", 6.0, PI_NEW),
        ("final", "Final Outcome", "The final policy", "0.96·10 + 0.03·5 - 0.01·10", 9.65, PI_FINAL))),
    entry(
        id="S2.exact_pg.uniform", section="(exact policy gradient of the example)",
        claim="Over all three words at once, the uniform policy should move towards cream and hockey and away from "
              "donkey.",
        formula="dJ/dz_a = p_a (r_a - J) = (10 - 5/3)/3, (5 - 5/3)/3, (-10 - 5/3)/3", printed=None,
        exact=(2.777778, 1.111111, -3.888889), tolerance=PINNED, verdict="derived", kind="computed",
        compute=lambda: distribution.expected_reward_grad(np.log(THIRDS), REWARDS),
        source=F + "distribution.expected_reward_grad",
        note="What REINFORCE, leave-one-out and GRPO without its division estimate from samples."),
)

GRPO = (
    entry(
        id="S2.grpo.formula_eps", section="Key Idea of GRPO",
        claim="Each advantage is the reward's distance from the group's mean over its standard deviation plus ε.",
        formula="A_i = (r_i - mean r)/(std r + ε), here (10 - 1.6667)/10.4083",
        printed="A_i = (r_i - mean(r)) / (std(r) + ε)", exact=0.800641, tolerance=PINNED, verdict="convention",
        kind="statement", compute=lambda: grpo.group_advantage(REWARDS)[0],
        otherwise=lambda: grpo.group_advantage(REWARDS, eps=1e-4)[0],
        source=F + "grpo.group_advantage", planted={"eps": 1e-4},
        note="The document's own comparison table writes the same formula without ε, and its example uses none; ours "
             "has eps=0 unless told. Elsewhere: 1e-4 (TRL, GRPO-Zero), 1e-6 (veRL, TinyZero), 1e-8 (rlhf-book), "
             "1e-9 (OpenRLHF). With 1e-4 cream's advantage falls from 0.800641 to 0.800633."),
    entry(
        id="S2.grpo.mean", section="GRPO Step 3", claim="The mean reward of the group is 1.67310.",
        formula="(10 + 5 - 10)/3", printed=1.67310, exact=1.666667, tolerance=0.000005, verdict="differs",
        kind="computed", compute=lambda: REWARDS[0] - grpo.group_advantage(REWARDS, center_only=True)[0],
        source=F + "grpo.group_advantage", planted={"center_only": False},
        note="The mean is 5/3 = 1.666667. The first three digits of the print, 1.67, hold, and the lines below use "
             "them; 310 stands behind them, and no assumption gives 1.6731."),
    entry(
        id="S2.grpo.std", section="GRPO Step 3", claim="The standard deviation of the group's rewards is 10.41.",
        formula="√(Σ (r - mean)²/(n - 1)) = √(216.67/2)", printed=10.41, exact=10.40833, tolerance=0.005,
        verdict="convention", kind="computed", compute=lambda: spread(ddof=1), otherwise=lambda: spread(ddof=0),
        source=F + "grpo.group_advantage", planted={"ddof": 0},
        note="Holds for the sample deviation, ddof = 1, as in TRL, veRL and OpenRLHF. The population deviation, "
             "ddof = 0 (GRPO-Zero, and NumPy's default), is 8.4984."),
    *(entry(
        id=f"S2.grpo.adv.{word}", section="GRPO Step 3",
        claim=f"The relative advantage of {word} is {printed:.2f}.",
        formula=f"({reward:g} - 1.6667)/10.4083", printed=printed, exact=exact, tolerance=0.005,
        verdict="convention", kind="computed", compute=partial(lambda i: grpo.group_advantage(REWARDS)[i], i),
        otherwise=partial(lambda i: grpo.group_advantage(REWARDS, ddof=0)[i], i),
        source=F + "grpo.group_advantage", planted={"ddof": 0, "center_only": True},
        note=f"Holds for ddof = 1; with ddof = 0 it is {other:.4f}.")
      for i, (word, reward, printed, exact, other) in enumerate(zip(
        WORDS, REWARDS, (0.80, 0.32, -1.12), (0.800641, 0.320256, -1.120897), (0.980581, 0.392232, -1.372813),
        strict=True))),
    entry(
        id="S2.grpo.adv.sum", section="GRPO Step 3", claim="The three relative advantages cancel.",
        formula="0.80 + 0.32 - 1.12", printed=None, exact=0.0, tolerance=0.005, verdict="derived", kind="computed",
        compute=lambda: grpo.group_advantage(REWARDS).sum(), source=F + "grpo.group_advantage",
        note="They do for any ddof; their mean square is (n - 1)/n for ddof = 1, and 1 for ddof = 0."),
    entry(
        id="S2.grpo.loss", section="GRPO Step 4",
        claim="The loss of each answer is minus its advantage times the log-probability of the answer.",
        formula="-A_i log(1/3), A = 0.8006, 0.3203, -1.1209", printed=None, exact=(0.879594, 0.351838, -1.231431),
        tolerance=PINNED, verdict="derived", kind="computed", compute=grpo_losses, source=F + "grpo.grpo_loss",
        note="They add to 0 at the uniform policy and the gradient does not vanish there: a GRPO loss of 0 does not "
             "mean that nothing is learned. The document drops ratio, clip and KL here, though its table says KL per "
             "output; the paper keeps all three (grpo_clip_loss)."),
)


ENTRIES = (*RLHF, *PPO, *GRPO)

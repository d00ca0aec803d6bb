"""Document 003, part 6: human feedback, expected reward before and after, and bars that show it."""
from functools import partial

import numpy as np

from rlscratch.documents import rows_and_bars
from rlscratch.documents.d003_distributions_to_policies.distributions import row
from rlscratch.documents.entry import PINNED, Entry
from rlscratch.documents.rows_and_bars import pairs
from rlscratch.formulas import distribution, grpo, kl

F = "rlscratch.formulas."
REWARD = F + "distribution.expected_reward"
MODEL, SCORED = "Part 6, Step 2: Train a Reward Model", "Part 6, Step 4: Score Each Response"
CAPITAL, PASTA = "Part 6: What's the capital of France?", "Part 6: How do I cook pasta?"
PRACTICE, RESULTS = "Part 6: RLHF in Practice", "Part 6: RLHF Results"
THETA = "Part 6: The Parameter Update Process"
entry = partial(Entry, document="003")

RATINGS = (0.0, 0.9, 1.0, 0.0, 1.0, 0.95)              # two queries, three answers each
ANTARCTICA = (0.0, 0.0021, 0.09, 0.02, 0.9, 1.0)
FRANCE_REWARDS = (1.0, 0.0, 0.0, 0.3)                  # Paris, London, Banana, I don't know
FRANCE_BEFORE, FRANCE_AFTER = (0.4, 0.3, 0.2, 0.1), (0.8, 0.1, 0.05, 0.05)
PASTA_REWARDS = (0.9, 0.1, 0.2, 0.4)
PASTA_BEFORE, PASTA_AFTER = (0.3, 0.3, 0.2, 0.2), (0.7, 0.1, 0.1, 0.1)
PROGRAMMING = (0.2, 0.0, 0.7, 0.9)
SETTINGS, SETTINGS_AFTER = (0.50, 0.20, 0.30), (0.75, 0.10, 0.15)
BETA = 0.8 / np.log(3)


def mean(*rewards: float) -> float:
    """Expected reward where every answer is equally likely."""
    return distribution.expected_reward(np.full(len(rewards), 1 / len(rewards)), rewards)


def terms(p: tuple[float, ...], r: tuple[float, ...]) -> list[float]:
    """What each answer adds to the expected reward: the same sum with the other rewards at 0."""
    return [distribution.expected_reward(p, np.where(np.arange(len(r)) == i, r, 0.0)) for i in range(len(r))]


FEEDBACK = (
    entry(
        id="S3.monkey.bananas", section="Part 6: The Monkey Typewriter Analogy",
        claim="A monkey gets no banana for asdkfj and potato, one for hello and two for hello world.",
        formula="bananas for four texts", printed=(0.0, 0.0, 1.0, 2.0), exact=(0.0, 0.0, 1.0, 2.0), tolerance=0.5,
        verdict="exact", kind="input",
        note="Rewards of whole words: on 27 keys the first hello takes 27^5 = 14,348,907 on average, and until then "
             "nothing is learned (formulas.waiting, example 43). Potato is a word as well, and gets nothing."),
    entry(
        id="S3.rm.train", section=MODEL,
        claim="Six answers to two questions are rated 0, 0.9, 1.0 and 0, 1.0, 0.95.",
        formula="targets of the reward model", printed=RATINGS, exact=RATINGS, tolerance=0.005, verdict="exact",
        kind="input", note="Targets of rating_loss, half the squared error; their order gives the pairs below."),
    entry(
        id="S3.rm.pairs", section=MODEL, claim="The ratings of three answers to each of two questions imply rankings.",
        formula="2·3·2/2 pairs", printed=None, exact=6.0, tolerance=PINNED, verdict="derived", kind="computed",
        compute=lambda: 2 * pairs(3), source=F + "preference.ranking_grad"),
    entry(
        id="S3.rollouts6.mean", section=SCORED,
        claim="Six answers about Antarctica, equally likely at first, are scored 0, 0.0021, 0.09, 0.02, 0.9 and 1.0.",
        formula="(0 + 0.0021 + 0.09 + 0.02 + 0.9 + 1.0)/6", printed=None, exact=0.33535, tolerance=PINNED,
        verdict="derived", kind="computed", compute=lambda: mean(*ANTARCTICA), source=REWARD,
        note="Only the two good answers are above the mean, so with it as baseline only they become more likely, as "
             "the text says. The best of the six is 1.0."),
    entry(
        id="S3.loop.adv", section="Part 6: The Learning Loop",
        claim="Of answers A to D, rewarded 0.2, 0.0, 0.7 and 0.9, the model learns to be more like C and D.",
        formula="r - mean r, mean 0.45", printed=None, exact=(-0.25, -0.45, 0.25, 0.45), tolerance=PINNED,
        verdict="derived", kind="computed", compute=lambda: grpo.group_advantage(PROGRAMMING, center_only=True),
        source=F + "grpo.group_advantage", planted={"center_only": False},
        note="The signs fit the text only because the mean is subtracted. By the plain rewards A, at 0.2, would be "
             "made more likely too: document 004's reason for a baseline."),
)

FRANCE = (
    row("S3.france.before.p", CAPITAL, "the four answers before training", *FRANCE_BEFORE, printed=1.0),
    entry(
        id="S3.france.before.terms", section=CAPITAL, claim="Before training the four answers add 0.4, 0, 0 and 0.03.",
        formula="0.4·1.0, 0.3·0, 0.2·0, 0.1·0.3", printed=(0.4, 0.0, 0.0, 0.03), exact=(0.4, 0.0, 0.0, 0.03),
        tolerance=0.005, verdict="exact", kind="computed", source=REWARD,
        compute=lambda: terms(FRANCE_BEFORE, FRANCE_REWARDS)),
    entry(
        id="S3.france.before", section=CAPITAL, claim="Before training the expected reward is 0.43.",
        formula="0.4·1.0 + 0.3·0 + 0.2·0 + 0.1·0.3", printed=0.43, exact=0.43, tolerance=0.005, verdict="exact",
        kind="computed", compute=lambda: distribution.expected_reward(FRANCE_BEFORE, FRANCE_REWARDS), source=REWARD),
    row("S3.france.after.p", CAPITAL, "the four answers after training", *FRANCE_AFTER),
    entry(
        id="S3.france.after", section=CAPITAL, claim="After training the expected reward is 0.815.",
        formula="0.8·1.0 + 0.1·0 + 0.05·0 + 0.05·0.3", printed=0.815, exact=0.815, tolerance=0.0005, verdict="exact",
        kind="computed", compute=lambda: distribution.expected_reward(FRANCE_AFTER, FRANCE_REWARDS), source=REWARD),
    entry(
        id="S3.france.gain", section=CAPITAL, claim="Training raised the expected reward from 0.43 to 0.815.",
        formula="0.815 - 0.43", printed=None, exact=0.385, tolerance=PINNED, verdict="derived", kind="computed",
        compute=lambda: distribution.expected_reward(FRANCE_AFTER, FRANCE_REWARDS)
        - distribution.expected_reward(FRANCE_BEFORE, FRANCE_REWARDS), source=REWARD),
    entry(
        id="S3.france.kl", section=CAPITAL, claim="How far the trained row is from the row before it.",
        formula="KL(after || before) = Σ p log(p/q)", printed=None, exact=0.340684, tolerance=PINNED,
        verdict="derived", kind="computed", compute=lambda: kl.kl(FRANCE_AFTER, FRANCE_BEFORE), source=F + "kl.kl",
        note="The gain of 0.385 pays for the penalty β·0.340684 while β < 1.130079. The trained row is the optimum "
             "for no β: London and Banana earn the same, and one shrinks to 1/3, the other to 1/4."),
    entry(
        id="S3.exact_pg.france", section=CAPITAL, claim="Which way each answer's logit should move before training.",
        formula="dJ/dz_a = p_a (r_a - 0.43)", printed=None, exact=(0.228, -0.129, -0.086, -0.013), tolerance=PINNED,
        verdict="derived", kind="computed", source=F + "distribution.expected_reward_grad",
        compute=lambda: distribution.expected_reward_grad(np.log(FRANCE_BEFORE), FRANCE_REWARDS),
        note="Paris up, all others down, as the text says; the four add to 0."),
    entry(
        id="S3.france.bar43", section="Part 6: Visual Breakdown", claim="A bar shows 43%.",
        formula="44 filled of 44 + 50 blocks", printed=0.43, exact=0.468085, tolerance=0.005, verdict="differs",
        kind="drawing", compute=lambda: rows_and_bars.share(44, 50), source="rlscratch.documents.rows_and_bars.share",
        note="44 of 94 blocks are 46.8%; 43% of 94 would be 40 blocks."),
    entry(
        id="S3.france.bar815", section="Part 6: Visual Breakdown", claim="A bar shows 81.5%.",
        formula="84 filled of 84 + 19 blocks", printed=0.815, exact=0.815534, tolerance=0.005, verdict="rounds",
        kind="drawing", compute=lambda: rows_and_bars.share(84, 19), source="rlscratch.documents.rows_and_bars.share",
        note="Within half a block; this bar has 103 blocks, the one above it 94."),
)

COOKING = tuple(e for when, before, p, printed, parts in (
    ("Before", "before", PASTA_BEFORE, 0.42, (0.27, 0.03, 0.04, 0.08)),
    ("After", "after", PASTA_AFTER, 0.70, (0.63, 0.01, 0.02, 0.04))) for e in (
    entry(
        id=f"S3.pasta.{before}.terms", section=PASTA,
        claim=f"{when} training the four answers add {', '.join(f'{x:g}' for x in parts)}.",
        formula=", ".join(f"{x:g}·{r:g}" for x, r in zip(p, PASTA_REWARDS, strict=True)), printed=parts, exact=parts,
        tolerance=0.005, verdict="exact", kind="computed", compute=partial(lambda p: terms(p, PASTA_REWARDS), p),
        source=REWARD),
    row(f"S3.pasta.{before}.p", PASTA, f"the four answers {before} training", *p),
    entry(
        id=f"S3.pasta.{before}", section=PASTA, claim=f"{when} training the expected reward is {printed:.2f}.",
        formula=" + ".join(f"{x:g}" for x in parts), printed=printed, exact=printed, tolerance=0.005,
        verdict="exact", kind="computed", source=REWARD,
        compute=partial(lambda p: distribution.expected_reward(p, PASTA_REWARDS), p))))

IN_PRACTICE = tuple(
    entry(
        id=f"S3.{name}.means", section=f"{PRACTICE}, Example {i}",
        claim=f"Answers {words} are rated higher after training than before.",
        formula=f"means of {', '.join(f'{r:g}' for r in before)} and of {', '.join(f'{r:g}' for r in after)}",
        printed=None, exact=exact, tolerance=PINNED, verdict="derived", kind="computed",
        compute=partial(lambda before, after: (mean(*before), mean(*after)), before, after), source=REWARD, note=note)
    for i, name, words, before, after, exact, note in (
        (1, "sad", "to somebody sad", (0.2, 0.3, 0.4), (0.9, 0.8), (0.3, 0.85), ""),
        (2, "covid", "about a vaccine", (-5.0, 0.1), (0.95, 0.8), (-2.45, 0.875),
         "A reward of -5 leaves the scale from 0 to 1 that the document uses elsewhere: rewards are any real numbers."),
        (3, "coworker", "about a coworker", (0.1, 0.2), (0.8, 0.7), (0.15, 0.75), "")))

PREFERENCES = (
    entry(
        id="S3.params.quality", section="Part 6: Training a Student",
        claim="Answers score 0.3 and then 0.8; a bad model expects 0.2, a good one 0.9; a broken one says \"4\" with "
              "99.9%.",
        formula="rewards and a probability", printed=(0.3, 0.8, 0.2, 0.9, 0.999), exact=(0.3, 0.8, 0.2, 0.9, 0.999),
        tolerance=0.05, verdict="exact", kind="input",
        note="Illustrations. The last returns in the example of one answer that leaks to every question."),
    row("S3.theta.before", THETA, "helpful, harmful and random answers before", *SETTINGS),
    row("S3.theta.after", THETA, "helpful, harmful and random answers after", *SETTINGS_AFTER),
    entry(
        id="S3.theta.tilt", section=THETA,
        claim="After helpful earned 0.9 and harmful 0.1, preferences of 50, 20, 30% become 75, 10, 15%.",
        formula="π*(a) = q(a) exp(R(a)/β)/Z, R = 0.9, 0.1, 0.1, β = 0.8/ln 3 = 0.728191", printed=SETTINGS_AFTER,
        exact=SETTINGS_AFTER, tolerance=0.005, verdict="convention", kind="computed",
        compute=lambda: kl.kl_optimal_policy(SETTINGS, (0.9, 0.1, 0.1), BETA),
        otherwise=lambda: kl.kl_optimal_policy(SETTINGS, (0.9, 0.1, 0.0), BETA),
        source=F + "kl.kl_optimal_policy", planted={"beta": 1.0},
        note="The document names neither the reward of the random answers nor β. The row is exactly the optimum of "
             "the KL-penalised objective if random earns 0.1 like harmful and β = 0.8/ln 3; with 0 for random, or "
             "another β, it is not."),
)


def bar(name: str, label: float, filled: int, verdict: str, note: str = "", other: int | None = None) -> Entry:
    """A bar of ten blocks against its label."""
    rule = None if other is None else partial(lambda n: rows_and_bars.share(n, 10 - n), other)
    return entry(
        id=f"S3.cap.{name}", section=RESULTS, claim=f"A bar of ten blocks shows {label:.0%}.",
        formula=f"{filled} filled of 10 blocks", printed=label, exact=filled / 10, tolerance=0.05, verdict=verdict,
        kind="drawing", compute=lambda: rows_and_bars.share(filled, 10 - filled), otherwise=rule,
        source="rlscratch.documents.rows_and_bars.share", note=note)


BARS = (
    bar("help.pre", 0.40, 8, "differs", "Eight blocks are the length for 80%; 40% takes four."),
    bar("help.post", 0.95, 10, "convention", "95% lies midway between nine blocks and ten. Here it is drawn with ten, "
        "under Overall with nine: no one rule of rounding gives both. Holds if a half is rounded up.", 9),
    bar("harm.pre", 0.60, 6, "exact", "Example 52 and `rlscratch life` measure the three bars of a small assistant."),
    bar("harm.post", 0.98, 10, "rounds", "To the nearest block."),
    bar("honest.pre", 0.70, 7, "exact", "Example 51 measures one side of it: answers about people who do not exist."),
    bar("honest.post", 0.92, 9, "rounds", "To the nearest block."),
    bar("overall.pre", 0.50, 5, "exact"),
    bar("overall.post", 0.95, 9, "convention", "Drawn with nine blocks, under Helpfulness with ten. Holds if a half "
        "is rounded down.", 10),
    entry(
        id="S3.cap.overall_mean", section=RESULTS, claim="Overall quality goes from 50% to 95%.",
        formula="(40 + 60 + 70)/3, (95 + 98 + 92)/3", printed=None, exact=(56.666667, 95.0), tolerance=PINNED,
        verdict="derived", kind="drawing", compute=lambda: (mean(40, 60, 70), mean(95, 98, 92)), source=REWARD,
        note="The 95 after training is the mean of the three above it, the 50 before is not (56.7, or 70 with the 80% "
             "that Helpfulness is drawn with)."),
)

ENTRIES = (*FEEDBACK, *FRANCE, *COOKING, *IN_PRACTICE, *PREFERENCES, *BARS)

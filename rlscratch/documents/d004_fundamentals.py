"""Document 004, "Fundamentals of Reinforcement Learning": MDP, objectives, baselines, tokens.

The baseline of its algorithm 1.5.3 is the mean of the batch, which holds the sample's own
return, and its 1.5.2 says that a baseline leaves the gradient's mean unchanged if it does not
depend on the action.  The first is no case of the second: both entries below enumerate every
batch of N episodes.  With one step, and R the rewards,

    R_i - mean R = (1 - 1/N) (R_i - mean of the others)          so E[g] = (1 - 1/N) grad J

and with T steps the part that is lost is (1/N) grad E[mean over t of the reward-to-go].
"""
from collections.abc import Callable
from functools import partial
from itertools import product

import numpy as np

from rlscratch.documents import gpt2_tokens
from rlscratch.documents.entry import PINNED, Entry
from rlscratch.formulas import policy_gradient, returns
from rlscratch.mdp import MDP

F, ENCODE = "rlscratch.formulas.", "rlscratch.bpe.tokenizer.Tokenizer.encode"
GRADIENT, TOKENS = "1.5.3 On-policy algorithm, steps (c) and (d)", "2.3.2 and Figure 1"
SIX_MOVES, GAMMA = (0.0, 0.0, 0.0, 0.0, 0.0, 1.0), 0.99
entry = partial(Entry, document="004")

# "I like ice ___" as one step: three words, and the end.
WORDS = partial(MDP, np.tile([0.0, 1.0], (2, 3, 1)), [[10.0, 5.0, -10.0], [0.0, 0.0, 0.0]], 1.0, 0, [False, True])
# Two rooms, two moves, two steps: move a leads to room a; room 0 pays 1 for move 0, room 1 pays 2 for move 1.
ROOMS = partial(MDP, np.tile(np.eye(2), (2, 1, 1)), [[1.0, 0.0], [0.0, 2.0]], 1.0, 0)


def expected_estimate(process: MDP, horizon: int, episodes: int, baseline: Callable) -> np.ndarray:
    """E[g], the mean of 1.5.3's estimate over every batch of N episodes; the policy is uniform.

    baseline  from rewards-to-go (N, T) to a number or an array (N, T)
    """
    states, actions = process.transition.shape[:2]
    policy = np.full((states, actions), 1 / actions)
    paths = []
    for p, s, a, r in process.trajectories(policy, horizon):
        scores = np.zeros((len(a), states, actions))
        for t, action in enumerate(a):
            scores[t, s[t]] = policy_gradient.score(np.zeros(actions), np.array(action))
        paths.append((p, returns.rewards_to_go(r), scores))
    total = np.zeros((states, actions))
    for batch in product(paths, repeat=episodes):
        to_go = np.array([path[1] for path in batch])
        advantage = to_go - baseline(to_go)
        estimate = sum(np.tensordot(a, path[2], axes=1) for a, path in zip(advantage, batch, strict=True)) / episodes
        total += np.prod([path[0] for path in batch]) * estimate
    return total


def batch_mean(to_go: np.ndarray) -> float:
    return policy_gradient.batch_mean_baseline(to_go, np.ones_like(to_go))


def leave_one_out(to_go: np.ndarray) -> np.ndarray:
    return policy_gradient.leave_one_out_baseline(to_go.T).T


def shrinking(baseline: Callable) -> list[float]:
    """E[g] over grad J along grad J, one step, for batches of 2, 3 and 4."""
    process = WORDS()
    exact = process.policy_gradient(np.zeros((2, 3)), 1)
    return [(expected_estimate(process, 1, n, baseline) * exact).sum() / (exact**2).sum() for n in (2, 3, 4)]


def bias(baseline: Callable) -> list[float]:
    """|E[g] - grad J| over |grad J|, two steps, for batches of 1, 2 and 3."""
    process = ROOMS()
    exact = process.policy_gradient(np.zeros((2, 2)), 2)
    return [np.linalg.norm(expected_estimate(process, 2, n, baseline) - exact) / np.linalg.norm(exact)
            for n in (1, 2, 3)]


def every_third(word: str) -> str:
    """Every third character, the first one included.

    Proof: tests/test_documents.py, test_every_third_character_is_counted_by_hand
    """
    return word[::3]


OBJECTIVES = (
    entry(
        id="S4.tuple", section="1.1 Markov Decision Process", claim="A Markov decision process is five things.",
        formula="(S, A, P, R, γ)", printed=5, exact=5, tolerance=0.5, verdict="exact", kind="statement",
        note="The document's transition tensor T[i, j, k] = p(s' = i | s = j, a = k) has the next state first; ours "
             "has it last, transition[s, a, s'], and adds the start and the states that end an episode."),
    entry(
        id="S4.gamma.range", section="1.1 Markov Decision Process",
        claim="The discount is at least 0 and below 1, usually 0.9 to 0.99.",
        formula="γ ∈ [0, 1), which bounds Σ γ^t by 1/(1 - γ) = 100 at 0.99", printed="γ ∈ [0, 1)", exact=100.0,
        tolerance=PINNED, verdict="convention", kind="statement",
        compute=lambda: returns.discounted_return(np.ones(4000), GAMMA),
        otherwise=lambda: returns.discounted_return(np.ones(4000), 1.0),
        source=F + "returns.discounted_return", planted={"gamma": 1.0},
        note="Document 001 allows γ = 1. Below 1 the sum of an endless task is finite; with γ = 1 it grows with every "
             "step (4000 after 4000), which harms nothing where episodes end. Ours accept 1."),
    entry(
        id="S4.return.discounted", section="1.4.3 Infinite Horizon",
        claim="The return sums discounted rewards from t = 1 on, the first of them already discounted.",
        formula="G_0 = Σ_{t≥1} γ^t R_t, here 0.99^6", printed="G_0 = Σ_{t=1}^∞ γ^t R(s_t, a_t)", exact=0.94148,
        tolerance=PINNED, verdict="convention", kind="statement",
        compute=lambda: returns.discounted_return(SIX_MOVES, GAMMA, first_power=1),
        otherwise=lambda: returns.discounted_return(SIX_MOVES, GAMMA),
        source=F + "returns.discounted_return", planted={"first_power": 0},
        note="γ times the return of documents 000 and 001: 0.941480 for the lake's six moves, where they have "
             "0.950990. The best policy is the same; the numbers are not. Ours follow 001 unless first_power=1."),
)

BASELINES = (
    entry(
        id="S4.baseline.bias.T1", section=GRADIENT,
        claim="How much of the gradient the estimate has on average, with the mean of the batch as baseline; one step.",
        formula="E[g]/∇J = 1 - 1/N, N = 2, 3, 4", printed=None, exact=(0.5, 0.666667, 0.75),
        tolerance=PINNED, verdict="derived", kind="computed", compute=lambda: shrinking(batch_mean),
        otherwise=lambda: shrinking(leave_one_out), source=F + "policy_gradient.batch_mean_baseline",
        note="1.5.2 is about baselines that do not depend on the action; the batch mean of 1.5.3 contains the "
             "action's own reward, and E[g] is (1 - 1/N) ∇J. Unbiased are the mean of the other answers "
             "(leave_one_out_baseline), a constant, or V(s). Enumerated on \"I like ice ___\"."),
    entry(
        id="S4.baseline.bias.T2", section=GRADIENT,
        claim="How far the estimate's mean is from the gradient, with the mean of the batch as baseline; two steps.",
        formula="|E[g] - ∇J|/|∇J| = (√10/4)/N, N = 1, 2, 3", printed=None,
        exact=(0.790569, 0.395285, 0.263523), tolerance=PINNED, verdict="derived", kind="computed",
        compute=lambda: bias(batch_mean), otherwise=lambda: bias(lambda to_go: 0.5),
        source=F + "policy_gradient.batch_mean_baseline",
        note="Unbiased with a constant. With the batch mean the error falls as 1/N and changes the direction too: on "
             "two rooms (∇J = ±1/4 everywhere) E[g] is 1 - 1/(2N) of it in the first and 1 - 1/N in the second."),
)

LANGUAGE_MODELS = (
    entry(
        id="S4.fineweb", section="2.1 Base-Model", claim="FineWeb holds 44 terabytes of text, 15 trillion tokens.",
        formula="44·10^12/(15·10^12) bytes a token", printed=None, exact=2.933333, tolerance=PINNED,
        verdict="derived", kind="input", compute=lambda: 44e12 / 15e12,
        note="44 terabytes are the data set on disk, not the raw text. Example 49 curates a small web, step by step."),
    entry(
        id="S4.tokens", section="2.1 Base-Model",
        claim='GPT-2 reads "The capital of Georgia is" as 464, 3139, 286, 7859, 318.',
        formula="ids of The, _capital, _of, _Georgia, _is", printed=(464, 3139, 286, 7859, 318),
        exact=(464, 3139, 286, 7859, 318), tolerance=0.5, verdict="exact", kind="computed",
        compute=lambda: gpt2_tokens.gpt2().encode("The capital of Georgia is"), source=ENCODE),
    entry(
        id="S4.tokens.tbilisi", section="2.1 Base-Model", claim='The next tokens are those of "Tbilisi".',
        formula="ids of _T, bil, isi", printed=None, exact=(309, 33473, 23267), tolerance=0.5, verdict="derived",
        kind="computed", compute=lambda: gpt2_tokens.gpt2().encode(" Tbilisi"), source=ENCODE,
        note="The plural is right: three tokens, so three predictions and not one."),
    entry(
        id="S4.verifiable.n", section="2.4.1 RL in Verifiable Domains",
        claim="A model may write 100 chains of thought for one problem.",
        formula="G = 100", printed=100, exact=100, tolerance=0.5, verdict="exact", kind="input",
        note="The size of a group in GRPO; the examples run with smaller ones."),
    entry(
        id="S4.rankings", section="2.4.2 RL in Unverifiable Domains",
        claim="People rank 10,000 to 100,000 sets of answers.",
        formula="number of rankings", printed=(10000, 100000), exact=(10000, 100000), tolerance=0.5,
        verdict="exact", kind="input",
        note="The amount of data behind a reward model; the examples need a few hundred. "
             "`rlscratch rank` is where people give them: example 53."),
    entry(
        id="S4.tokens.ubiquitous", section=TOKENS, claim='A model sees "Ubiquitous" as chunks and not as letters.',
        formula="ids of Ub, iqu, itous", printed=None, exact=(36609, 1557, 22109), tolerance=0.5, verdict="derived",
        kind="computed", compute=lambda: gpt2_tokens.gpt2().encode("Ubiquitous"), source=ENCODE,
        note="Ten letters in three tokens: their third characters lie at places that no id tells."),
    entry(
        id="S4.ubiquitous", section=TOKENS,
        claim='A model is asked for every third character of "Ubiquitous" and answers "Uiis".',
        formula="characters 0, 3, 6, 9", printed="Uiis", exact="Uqts", tolerance=0, verdict="differs", kind="quoted",
        compute=lambda: every_third("Ubiquitous"),
        otherwise=lambda: "".join("Ubiquitous"[i] for i in (0, 2, 5, 9)),
        source="rlscratch.documents.d004_fundamentals.every_third",
        note="A model's failure, which the document quotes to explain it. Every third character is U, q, t, s; the "
             "model's letters stand at 0, 2, 5 and 9."),
)

ENTRIES = (*OBJECTIVES, *BASELINES, *LANGUAGE_MODELS)

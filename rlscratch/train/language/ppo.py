"""PPO on a transformer: an actor, a critic in the same network, and a brake that holds it near its reference.

Each step:

    B prompts, an answer each from pi_old; its score on its last token                  (a task, or a reward model)
    logp, values of all tokens in one pass; A_t by GAE; the returns A_t + V_t are the critic's aim
    for each epoch, the answers in a new random order, cut into minibatches:
        seeds <- ppo_clip_grad in logp, value_grad in the values, the KL's and the entropy bonus' gradients
        one walk back for all of them, one step of the optimiser
    no further epoch once the mean k3 of KL(pi_old || pi), per token, exceeded target_kl in the last one (0: never);
        each minibatch says it before its own step

The brake.  KL(pi || ref) of an answer is the sum over its tokens, in nats.  Where it counts is a choice:

    k1-reward   r_t = - beta (logp_t - logp_ref_t), and the score on top of the last token's.  The critic sees it and
                at lambda 1, not whitened, the gradient is that of E[R] - beta KL
    k2-loss     beta k2_t in the loss: the gradient of each token's KL(pi || ref) where pi is what was sampled from
    k3-loss     beta k3_t in the loss: GRPO's; its gradient is that of each token's KL(ref || pi)

In the reward a token answers for the KL of the tokens after it, too; in the loss for its own alone, what stands before
it held fixed.  formulas.kl has the derivations.  k2 and k3 in the reward are no penalties: near pi = ref they push
away from it in some directions, and are not offered.

beta is fixed, or it follows a target: with K = 0.2, `adapted` moves beta up by at most 4% a step while the KL is
above the target, and down while it is below (Ziegler et al.).

Whitening divides the advantages of a batch by their deviation, however small it is.  When all answers earn the same,
what is left is the critic's error, and whitened it is as large as a lesson ever was: a long run may walk away from a
task that it has solved.  Without it the step shrinks with what there is to say.

Too large a step has no way back.  On preferences with --lr 1e-3 most runs are fine, and one left its reference within
ten steps: rare tokens have a large k1, so the critic's error grows with the KL and fills the gradient, cut to max_norm,
that it shares with the policy, and of what would lead back nothing is left.  Hence the smaller default there.

One token is one step of the MDP: gamma is 1, and the last token terminates, whether it is the end or the longest
answer's last.  Values and policy share all but their heads; value_weight says how loud the critic is.

Source: document 002, "PPO Steps" and the phase of RLHF; document 004, 1.5.2; Ziegler et al. 2019, arXiv:1909.08593
        (KL in the reward, adaptive beta); Ouyang et al. 2022, arXiv:2203.02155.
Leaves out: a critic of its own; mixing in the gradient of pre-training (InstructGPT's ptx).
"""
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rlscratch import check
from rlscratch.check import Array
from rlscratch.formulas import grpo, kl, ppo, returns, weights
from rlscratch.optim import AdamW
from rlscratch.train.choices import Choice
from rlscratch.train.language.chat import Rows, texts
from rlscratch.train.language.measure import held_out
from rlscratch.train.language.method import Learner, Method, Stages, optimizer_of, watched
from rlscratch.train.language.policy import Batch, Policy, Score, copied, deviation, outputs, scored, surprise, update
from rlscratch.train.language.worlds import NAMES, World
from rlscratch.transformer import Transformer

BRAKES = {"k1-reward": None, "k2-loss": kl.kl_k2_grad, "k3-loss": kl.kl_k3_grad}
GAIN, WIDEST = 0.2, 0.2             # of the controller: its gain, and the largest error it takes notice of


@dataclass(frozen=True, eq=False)
class Experience:
    """A batch with all that its epochs need, each (B, T) and 0 where the policy chose nothing.

    rows       the answers
    logp_old   log pi_old of each token, natural log
    logp_ref   log pi_ref
    advantage  A_t, in units of reward, or whitened
    values     V_t when the batch was collected, in units of reward
    aim        A_t + V_t, before whitening
    """

    rows: Rows
    logp_old: Array
    logp_ref: Array
    advantage: Array
    values: Array
    aim: Array

    def at(self, index: Array) -> "Experience":
        """Of the answers at these places, (N,), no wider than they need to be."""
        rows = self.rows.at(index)
        return Experience(rows, *(x[index, :rows.tokens.shape[1]] for x in (
            self.logp_old, self.logp_ref, self.advantage, self.values, self.aim)))


def step(policy: Policy, reference: Transformer, optimizer: AdamW, score: Score, prompts: Sequence[str],
         rng: np.random.Generator, *, batch: int, beta: float, brake: str, lam: float, whiten: bool,
         **settings: Any) -> dict[str, float]:
    """One update: a batch and its epochs; its figures.

    policy     its model has a value head
    reference  the frozen model that the brake holds on to
    score      a batch -> its rewards
    prompts    to draw from, each once if there are enough
    batch      how many are drawn
    beta       >= 0, units of reward a nat
    brake      one of BRAKES
    lam        lambda of GAE, in [0, 1]
    whiten     whether the advantages of a batch get mean 0 and standard deviation 1
    settings   of `learn`

    Raises ValueError or TypeError, before anything is drawn, for numbers out of range and for no prompts; RewardError
    for rewards that will not do; RuntimeError, before the policy changes, for ratios that do not begin at 1.
    """
    prompts = texts("prompts", prompts)
    _checked(batch=batch, beta=beta, brake=brake, lam=lam, whiten=whiten, **settings)
    chosen = rng.choice(len(prompts), batch, replace=len(prompts) < batch)
    answers = policy.answer([prompts[i] for i in chosen], rng)
    found, figures = experience(policy, reference, answers, scored(score, answers), beta=beta, brake=brake, lam=lam,
                                whiten=whiten)
    return figures | learn(policy, optimizer, found, rng, brake=brake, beta=beta, **settings)


def _checked(*, batch: int, beta: float, brake: str, lam: float, whiten: bool, epochs: int, minibatches: int,
             clip: float, value_clip: float, value_weight: float, entropy: float, target_kl: float,
             max_norm: float = 1.0) -> None:
    check.integer(1, batch=batch, epochs=epochs, minibatches=minibatches)
    check.between(0, 1, lam=lam, clip=clip)
    check.non_negative(beta=beta, value_clip=value_clip, value_weight=value_weight, entropy=entropy,
                       target_kl=target_kl)
    check.positive(max_norm=max_norm)
    check.one_of(tuple(BRAKES), brake=brake)
    check.one_of((False, True), whiten=whiten)


def experience(policy: Policy, reference: Transformer, answers: Batch, rewards: Array, *, beta: float, brake: str,
               lam: float, whiten: bool) -> tuple[Experience, dict[str, float]]:
    """What the epochs need of answers and their rewards (B,), and the figures of the batch.  Arguments as in step."""
    rows = answers.rows
    before = outputs(policy.model, rows, policy.temperature, ("logp", "value"))
    off = deviation(before["logp"], answers.logp, rows.mask)
    logp_ref = outputs(reference, rows, policy.temperature)["logp"]
    divergence = kl.kl_k1(answers.logp, logp_ref)
    paid = on_the_last_token(rows, rewards)
    if BRAKES[brake] is None:
        paid = paid - beta * divergence
    advantage = advantages(rows, paid, before["value"], lam)
    aim = advantage + before["value"]
    figures = {"reward": rewards.mean().item(), "kl": divergence.sum(axis=1).mean().item(), "beta": beta,
               "entropy": surprise(answers), "cut": answers.cut.mean().item(),
               "answer_length": answers.tokens / len(answers), "tokens": answers.tokens, "ratio_deviation": off}
    return Experience(rows, answers.logp, logp_ref, whitened(advantage, rows.mask) if whiten else advantage,
                      before["value"], aim), figures


def on_the_last_token(rows: Rows, rewards: Array) -> Array:
    """(B, T): each answer's reward (B,) where its last token stands, whether that is the end or it was cut there."""
    paid = np.zeros(rows.mask.shape)
    paid[np.arange(len(paid)), rows.lengths - 1] = rewards
    return paid


def advantages(rows: Rows, rewards: Array, values: Array, lam: float) -> Array:
    """GAE over the tokens of each answer, (B, T), gamma 1; the last token terminates.

    rewards  (B, T)  r_t of each token
    values   (B, T)  V_t before the token is chosen; both 0 where the mask is
    lam      in [0, 1]
    """
    last = on_the_last_token(rows, np.ones(len(rows.mask)))
    following = np.zeros(values.shape)
    following[:, :-1] = values[:, 1:]
    return rows.mask * returns.gae(rewards, values.astype(float), following, 1 - last, lam, last)


def whitened(advantage: Array, mask: Array) -> Array:
    """(B, T): the advantages of the chosen tokens with mean 0 and standard deviation 1; all 0 if they are equal.

    >>> whitened(np.array([[0.0, 3.0], [5.0, 0.0]]), np.array([[0, 1], [1, 0]])).tolist()
    [[0.0, -1.0], [1.0, 0.0]]
    """
    chosen, white = mask == 1, np.zeros(advantage.shape)
    if chosen.sum() > 1:
        white[chosen] = grpo.group_advantage(advantage[chosen], ddof=0)
    return white


def learn(policy: Policy, optimizer: AdamW, found: Experience, rng: np.random.Generator, *, brake: str, beta: float,
          epochs: int, minibatches: int, clip: float, value_clip: float, value_weight: float, entropy: float,
          target_kl: float, max_norm: float = 1.0) -> dict[str, float]:
    """The epochs; what happened in them.

    brake, beta   as in step
    epochs        passes over the answers, at most
    minibatches   parts of a pass, a step of the optimiser each
    clip          in [0, 1]  the ratio counts within [1 - clip, 1 + clip]
    value_clip    >= 0       values count within so much of the old ones, in units of reward; 0: no limit
    value_weight  >= 0       how much the critic's loss counts
    entropy       >= 0       how much the entropy counts, in units of advantage a nat
    target_kl     >= 0       KL from pi_old, nats a token, after which no epoch follows; 0: never
    max_norm      > 0        of the gradient of a step

    Returns the mean norm of the gradients, the share of tokens that the clip took out of them, the epochs made, and
    the KL from pi_old in the last one.  `step` checks the arguments.
    """
    wanted = ("logp", "value", *(["entropy"] if entropy else []))
    norms, seen = [], []

    def minibatch(now: Experience) -> None:
        weight, logps = weights.token_mean(now.rows.mask), []

        def objective(piece: slice, says: dict[str, Array]) -> dict[str, Array]:
            logp, w, A, old, values = says["logp"], *(
                x[piece] for x in (weight, now.advantage, now.logp_old, now.values))
            logps.append(logp)
            seeds = {"logp": ppo.ppo_clip_grad(logp, old, A, w, clip, clip)}
            if BRAKES[brake] is not None:
                seeds["logp"] = seeds["logp"] + beta * w * BRAKES[brake](logp, now.logp_ref[piece])
            near = {"values_old": values, "clip": value_clip} if value_clip else {}
            seeds["value"] = value_weight * ppo.value_grad(says["value"], now.aim[piece], w, **near)
            return seeds | ({"entropy": -entropy * w} if entropy else {})

        norms.append(update(policy.model, optimizer, now.rows, objective, temperature=policy.temperature,
                            wanted=wanted, max_norm=max_norm))
        logp, tokens = np.concatenate(logps), now.rows.mask.sum()
        dropped = ppo.clip_fraction(logp, now.logp_old, now.advantage, now.rows.mask, clip, clip)
        seen.append((kl.kl_k3(now.logp_old, logp).sum() / tokens, dropped, tokens))

    made, moved, count = 0, 0.0, len(found.rows.tokens)
    while made < epochs and not 0 < target_kl < moved:
        parts = np.array_split(rng.permutation(count), min(minibatches, count))
        for part in parts:
            minibatch(found.at(part))
        made, moved = made + 1, _mean(seen[-len(parts):], 0)
    return {"gradient_norm": float(np.mean(norms)), "clip_fraction": _mean(seen, 1), "epochs_made": made,
            "kl_from_old": moved}


def _mean(seen: list[tuple[float, float, float]], column: int) -> float:
    """Of figures a token in minibatches with so many tokens, the last column."""
    table = np.array(seen)
    return np.average(table[:, column], weights=table[:, -1]).item()


def adapted(beta: float, divergence: float, target: float) -> float:
    """beta for the next step: up where the KL of an answer is above its target, down where it is below.

    beta                > 0, units of reward a nat
    divergence, target  nats an answer, the target > 0

    >>> round(adapted(0.1, 9.0, 3.0), 6), round(adapted(0.1, 2.7, 3.0), 6)
    (0.104, 0.098)
    """
    check.positive(beta=beta, target=target)
    error = min(max(divergence / target - 1, -WIDEST), WIDEST)
    return beta * (1 + GAIN * error)


# ---------------------------------------------------------------- the method

def begin(world: World, rng: np.random.Generator, stages: Stages, *, lr: float, beta: float, kl_target: float,
          temperature: float, **settings: Any) -> Learner:
    """The fine-tuned policy twice: to train, with a new head for values, and as the frozen reference."""
    if kl_target:
        check.positive(**{"--beta with a --kl-target": beta})       # what is multiplied must not be 0
    model, reference = copied(stages.policy.model, world.stream("value head")), copied(stages.policy.model)
    policy = Policy(model, stages.policy.chat, world.recipe.max_new_tokens, temperature)
    optimizer, (score, beside), facts = optimizer_of(model, lr), watched(world, stages), {"beta": beta}

    def one() -> dict[str, float]:
        figures = step(policy, reference, optimizer, score, world.task.prompts, rng, beta=facts["beta"], **settings)
        if kl_target:
            facts["beta"] = adapted(facts["beta"], figures["kl"], kl_target)
        return figures | beside

    return Learner(model, optimizer, rng, policy.chat, one,
                   lambda: held_out(policy, world, reference=reference, proxy=stages.reward_model), policy, facts)


CHOICES = (
    Choice("lr", {"": 1e-3, "preferences": 4e-4}, "largest step size", check.positive),
    Choice("batch", {"": 256}, "prompts of each update, an answer to each", lambda **n: check.integer(1, **n)),
    Choice("epochs", {"": 2}, "passes over each batch", lambda **n: check.integer(1, **n)),
    Choice("minibatches", {"": 2}, "parts of a pass", lambda **n: check.integer(1, **n)),
    Choice("clip", {"": 0.2}, "the ratio counts within [1 - clip, 1 + clip]", lambda **x: check.between(0, 1, **x)),
    Choice("value_clip", {"": 0.0}, "values count within so much of the old ones; 0: no limit", check.non_negative),
    Choice("value_weight", {"": 0.1}, "how much the critic's loss counts", check.non_negative),
    Choice("lam", {"": 0.95}, "lambda of GAE, in [0, 1]", lambda **x: check.between(0, 1, **x)),
    Choice("entropy", {"": 0.0}, "how much an entropy bonus counts, in units of advantage a nat", check.non_negative),
    Choice("target_kl", {"": 0.02}, "KL from the batch's policy, nats a token, after which the batch is left; 0: never",
           check.non_negative),
    Choice("whiten", {"": False, "preferences": True},
           "give the advantages of a batch mean 0 and standard deviation 1"),
    Choice("beta", {"": 0.05, "preferences": 0.3}, "price of a nat from the reference, in units of reward",
           check.non_negative),
    Choice("kl_target", {"": 0.0, "preferences": 1.6}, "nats an answer that beta is steered to; 0: beta stays",
           check.non_negative),
    Choice("brake", {"": "k1-reward"}, "where the KL counts", options=tuple(BRAKES)),
    Choice("temperature", {"": 1.0}, "of sampling and training, > 0", check.temperature),
)
METHOD = Method("ppo", NAMES, CHOICES, {"": 100, "preferences": 150}, begin, ("sft", "reward-model"))

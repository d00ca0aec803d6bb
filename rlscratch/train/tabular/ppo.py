"""PPO on a table: an actor, a critic, and several passes over each batch.

Each update:

    N episodes under pi_old; log pi_old is kept as it was when they were drawn
    A_t by GAE from the critic V as it is now; the critic's targets are R_t = A_t + V(s_t)
    for each epoch, the steps in a new random order, cut into minibatches:
        actor    z <- z - lr dL/dz,  L the clipped surrogate (formulas.ppo), all steps weighing the same
        critic   V <- V - value_lr dL/dV,  half the squared error, all visited states weighing the same
    no further epoch once the mean k3 estimate of KL(pi_old || pi) exceeds target_kl (0: never)

One epoch with one minibatch is the plain actor-critic: the ratio is 1, nothing is clipped.

How an episode ends.  In the goal, in a hole or after an answer it terminated: discount 0, boundary 1.
At the limit of steps it was cut off: the discount stays gamma and V of the state that the last move
led to stands for the rest; boundary 1 keeps the next row out (formulas.returns).  So V means what
lies ahead without a limit, and the state alone is enough to know it.

Whitening takes the mean from a batch's advantages and divides by their standard deviation, so that lr
need not know the scale of rewards: right for bandits, whose rewards span 20 or 1.  On the lakes it is off: while goals
are rare it blows up one lucky episode into a full-sized step, and on slippery ice at lr = 10 some
seeds then hold on to a policy worth .2 or less.  An entropy bonus of .02 cures that as well.

Source: document 002, "PPO Steps" and its example, steps 1-8; document 004, 1.5.2;
        Schulman et al. 2017, arXiv:1707.06347; 2016, arXiv:1506.02438 (GAE).
Leaves out: clipping the values (formulas.ppo has it), a network shared by actor and critic.
"""
import numpy as np

from rlscratch import check
from rlscratch.check import Array
from rlscratch.formulas import kl, ppo, returns, weights
from rlscratch.formulas.distribution import softmax
from rlscratch.mdp import Episodes
from rlscratch.train import settings
from rlscratch.train.on_policy import deviation
from rlscratch.train.tabular import table
from rlscratch.train.tabular.method import Figures, Tables, TabularMethod, choice, report, shared_steps
from rlscratch.train.tabular.worlds import TabularWorld


def initial(world: TabularWorld, rng: np.random.Generator, **settings: object) -> Tables:
    """The world's first policy, and values of 0."""
    return {"logits": world.logits.copy(), "values": np.zeros(len(world.logits))}


def step(world: TabularWorld, tables: Tables, rng: np.random.Generator, *, episodes: int, lr: float, value_lr: float,
         gamma: float, lam: float, epochs: int, minibatches: int, clip: float, target_kl: float, entropy: float,
         whiten: bool) -> tuple[Tables, Figures]:
    """One update: a batch and its epochs.  tables: logits (S, A), values (S,); the others as in CHOICES."""
    logits, values = tables["logits"], tables["values"]
    policy = softmax(logits)
    batch = world.collect(policy, episodes, rng)
    taken = batch.mask == 1
    advantage = advantages(batch, values, gamma, lam)[taken]
    states, actions = batch.states[taken], batch.actions[taken]
    value_target, logp_old = advantage + values[states], np.log(policy[states, actions])
    off = deviation(table.logp(logits, states, actions), logp_old)
    if whiten and len(advantage) > 1:
        advantage = returns.whitened(advantage, np.ones(len(advantage)), ddof=0)
    divergence, epoch = 0.0, 0
    while epoch < epochs and not 0 < target_kl < divergence:
        for part in np.array_split(rng.permutation(len(states)), min(minibatches, len(states))):
            s, a = states[part], actions[part]
            weight = weights.token_mean(np.ones((1, len(part))))[0]
            dlogp = ppo.ppo_clip_grad(table.logp(logits, s, a), logp_old[part], advantage[part], weight, clip, clip)
            ascent = entropy * table.bonus_grad(logits, s, weight)
            logits = logits + lr * (ascent - table.logits_grad(logits, s, a, dlogp))
            each = table.equal_states(s, np.ones(len(part)), len(values))
            dvalue = ppo.value_grad(values[s], value_target[part], each)
            values = values - value_lr * table.per_state(dvalue, s, len(values))
        logp, epoch = table.logp(logits, states, actions), epoch + 1
        divergence = kl.kl_k3(logp_old, logp).mean().item()
    figures = {"mean_return": returns.total_return(batch.rewards).mean().item(), "ratio_deviation": off,
               "epochs_made": epoch, "kl_k3": divergence,
               "clip_fraction": ppo.clip_fraction(logp, logp_old, advantage, np.ones(len(logp)), clip, clip)}
    return {"logits": logits, "values": values}, figures


def advantages(batch: Episodes, values: Array, gamma: float, lam: float) -> Array:
    """GAE for every step taken, (N, T), 0 elsewhere; a cut-off episode counts what its last state is worth."""
    last = batch.mask.copy()
    last[:, :-1] -= batch.mask[:, 1:]
    terminated = last * batch.terminated[:, None]
    return batch.mask * returns.gae(batch.rewards, values[batch.states] * batch.mask, values[batch.next_states],
                                    gamma * (1 - terminated), lam, last)


CHOICES = (
    *settings.PPO,
    choice("episodes", 256, 64, "episodes of each update", settings.at_least_1),
    choice("value_lr", 0.5, 0.5, "share of the way that values go to the mean return", check.fraction),
    choice("gamma", 0.99, 1.0, "discount, in [0, 1]", settings.unit_interval),
)
LAKES = {"frozen-lake": 60, "frozen-lake-slippery": 200, "frozen-lake-8x8": 100, "frozen-lake-8x8-slippery": 400}
METHOD = TabularMethod("ppo", CHOICES, shared_steps(LAKES, 150), initial, step, report)

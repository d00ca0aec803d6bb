"""Policy-gradient estimators on a finite MDP, and what each of them gives on average: exactly.

J = E[ sum_t gamma^t r_t ] over T steps, S_t = grad log pi(a_t|s_t), G_t = r_t + gamma r_t+1 + ...
is the reward-to-go.  Every estimator here is a sum of scores over a batch of N trajectories,

    g = (1/N) sum_i sum_t c_it S_it                                                      (1)

and they differ in the coefficient c alone.  The lemma behind most of them (EGLP): whatever b is
known before a_t is drawn, given all that went before,

    E[S_t b] = b sum_a pi(a|s_t) grad log pi(a|s_t) = b grad sum_a pi(a|s_t) = 0         (2)

No bias.  R = G_0 for every t is the derivative of J (mdp.trajectories, equation (3)).  R is past
rewards plus gamma^t G_t; the past is known before a_t, and (2) drops it; (2) lets b_t in:

    c_t = R     ->     c_t = gamma^t G_t     ->     c_t = gamma^t (G_t - b_t)            (3)

gamma^t belongs there, as J counts step t so much.  Most libraries leave it out; what is left is
in general the gradient of no function (Nota and Thomas 2020, arXiv:1906.07073).

Learned values.  v_t(s) is the value with T - t steps to go, V_t = v_t(s_t) + e_t any guess of it,
and e_T = 0, as nothing follows.  In the advantage A_t of formulas.returns, equation (8), the
guess's TD error is the true one + gamma e_t+1 - e_t, so A_t is the true one plus

    - e_t + (1 - lam) gamma sum_k (gamma lam)^k e_t+k+1                                  (4)

The true one has the mean q_t - v_t, whatever lam.  - e_t is a baseline.  The sum depends on a_t:
it vanishes at lam = 1, for every V, or if e = 0, for every lam.  Else it is the bias.

The batch's own mean.  Let b depend on the whole batch.  E[(sum_t S_it) b] is the derivative of E[b]
in the parameters of episode i alone, and over all i these add up to grad E[b].  So at gamma = 1

    c_it = G_it - b:     E[g] = grad J - (1/N) grad E[b]                                 (5)

Document 004, 1.5.3 (c), takes for b the mean of G over all steps of the batch.  With one step
E[b] = J and E[g] = (1 - 1/N) grad J; with more the direction changes too.  Its 1.5.2 promises no
bias, for baselines that do not depend on the action: this one contains the action's reward.
Leave-one-out takes at each t the mean of the others' G_t, and (2) holds: no bias.

Variance, here the sum over all coordinates.  Let g be linear in a constant b: g = U - b W.  Then

    var(b) = E|U|^2 - 2 b E[U.W] + b^2 E|W|^2 - |grad J|^2,     b* = E[U.W] / E|W|^2     (6)
    var(b) = var(b*) + E|W|^2 (b - b*)^2                                                 (7)

For c = R - b, U = R W and W = sum_t S_t: b* = E[|W|^2 R] / E|W|^2.  Independent samples divide a
variance by N.  Nothing else is promised: where rewards cancel, r_1 = -r_0 whatever is done, R = 0 has no
variance, and the reward-to-go of step 1 has.

By pencil: two rooms, move a leads to room a; in room 0 move 0 pays 1, in room 1 move 1 pays 2.
From room 0, two steps, even odds, gamma 1: the paths 00, 01, 10, 11 pay (1, 1), (1, 0), (0, 0), (0, 2),
grad J = +-1/4.  With R, |g|^2 is 8, 0, 0, 4; with G_t it is 4.5, .5, 0, 4.  Less |grad J|^2 = 1/4 the
variances are 2.75 and 2.

Source: document 004, 1.5.1 to 1.5.3; Williams 1992; Greensmith, Bartlett, Baxter 2004 (6);
        Schulman et al. 2016, arXiv:1506.02438 (4); Kool et al. 2019 (leave-one-out).
Leaves out: the best baseline for each state; learning V (train.tabular); answers of a language
        model in groups (rlscratch.expectations.sequences).
"""
from collections.abc import Callable, Iterable, Iterator
from itertools import islice, product, zip_longest

import numpy as np

from rlscratch import check
from rlscratch.check import Array
from rlscratch.formulas.distribution import softmax
from rlscratch.formulas.policy_gradient import batch_mean_baseline, leave_one_out_baseline, score
from rlscratch.formulas.returns import discounted_return, gae, rewards_to_go
from rlscratch.mdp import MDP, Episodes, trajectories

Estimator = Callable[[Episodes, float], Array]

LIMIT = 10**7       # trajectories or batches, unless another limit is given
BLOCK = 2**15       # numbers held at once while they stream by; more are slower, not faster


# ---------------------------------------------------------------- estimators: (episodes, gamma) -> c of (1)

# Episodes hold arrays (..., N, T), batches of N; a coefficient has that shape, or 1 in place of an axis.

def total_return(episodes: Episodes, gamma: float, baseline: float = 0.0) -> Array:
    """R - b at every step: (3), left."""
    return (np.asarray(discounted_return(episodes.rewards, gamma)) - baseline)[..., None]


def reward_to_go(episodes: Episodes, gamma: float, baseline: Array | float = 0.0) -> Array:
    """gamma^t (G_t - b_t): (3), right.  baseline is a constant, (T,) by step, or one for each step taken."""
    powers = gamma ** np.arange(episodes.rewards.shape[-1])
    return powers * (rewards_to_go(episodes.rewards, gamma) - baseline)


def state_value(episodes: Episodes, gamma: float, values: Array) -> Array:
    """gamma^t (G_t - V_t(s_t)).  values is (S,), or (T, S) where they depend on the steps to go (step_values)."""
    return reward_to_go(episodes, gamma, _looked_up(values, episodes)[0])


def generalised(episodes: Episodes, gamma: float, values: Array, lam: float) -> Array:
    """gamma^t A_t, GAE for any lam.  values as in state_value; nothing is worth anything after the last step."""
    now, after, goes_on = _looked_up(values, episodes)
    return gamma ** np.arange(goes_on.shape[-1]) * gae(episodes.rewards, now, after, gamma * goes_on, lam)


def batch_mean(episodes: Episodes, gamma: float) -> Array:
    """gamma^t (G_t - the mean of G over every step of the batch): document 004, 1.5.3 (c).  Biased by (5)."""
    return reward_to_go(episodes, gamma, _of_each_batch(rewards_to_go(episodes.rewards, gamma), episodes.mask))


def leave_one_out(episodes: Episodes, gamma: float) -> Array:
    """gamma^t (G_t - the mean of the other episodes' G_t, 0 after their end).  N >= 2."""
    to_go = np.swapaxes(rewards_to_go(episodes.rewards, gamma), -1, -2)
    return reward_to_go(episodes, gamma, np.swapaxes(leave_one_out_baseline(to_go), -1, -2))


BASELINES: dict[str, Estimator] = {"none": reward_to_go, "batch_mean": batch_mean, "leave_one_out": leave_one_out}


def step_values(mdp: MDP, policy: Array, horizon: int) -> Array:
    """v_t(s), (T, S): what a policy (O, A) is worth from each state with T - t steps to go."""
    return np.array([mdp.evaluate(policy, horizon - t) for t in range(check.integer(1, horizon=horizon))])


def _looked_up(values: Array, episodes: Episodes) -> tuple[Array, Array, Array]:
    """V_t(s_t), V_t+1(s_t+1), and 0 at each episode's last step, at the horizon too, else 1; each like rewards."""
    values, mask = check.array(min_ndim=1, values=values), episodes.mask
    steps, states = mask.shape[-1], values.shape[-1]
    values = check.shape((steps, states), "(T, S)", values=values if values.ndim == 2 else np.tile(values, (steps, 1)))
    goes_on = np.zeros_like(mask)
    goes_on[..., :-1] = mask[..., 1:]
    here, there = check.ids(states, states=episodes.states, next_states=episodes.next_states)
    step = np.arange(steps)
    return values[step, here], values[np.minimum(step + 1, steps - 1), there], goes_on


def _of_each_batch(to_go: Array, mask: Array) -> Array:
    """batch_mean_baseline of each (N, T); 0 where no episode took a step, as nothing is multiplied by it."""
    shape = to_go.shape[-2:]
    means = [batch_mean_baseline(g, m) if m.any() else 0.0
             for g, m in zip(to_go.reshape(-1, *shape), mask.reshape(-1, *shape), strict=True)]
    return np.reshape(means, (*to_go.shape[:-2], 1, 1))


# ---------------------------------------------------------------- the estimate from one batch

def policy_gradient_estimate(states: Array, actions: Array, rewards: Array, logits: Array, mask: Array | None = None,
                             baseline: str = "batch_mean", gamma: float = 1.0) -> Array:
    """Steps (b) to (d) of document 004, 1.5.3: the estimate of grad J, shaped like logits; ascend it.

    states    (N, T)  integers in [0, O): the row of logits that each action was drawn from
    actions   (N, T)  integers in [0, A)
    rewards   (N, T)  r_t; 0 after an episode's end
    logits    (O, A)  pi = softmax(logits); -inf for an action that is never taken
    mask      (N, T)  1 where an action was taken; None: everywhere
    baseline  "batch_mean" as the document has it, E[g] by (5); "leave_one_out" and "none" are unbiased
    gamma     in [0, 1]; 1 as the document has it

    Step (e) is logits + alpha * estimate.  Raises ValueError if no action was taken, for a reward where
    the mask is 0, for leave_one_out with one episode, and for anything that is not finite.

    One word each from an even policy: cream earned 10, donkey -10, so b = 0.  Leave-one-out is N/(N-1) times that:

    >>> words = [[0], [0]], [[0], [2]], [[10], [-10]], np.zeros((1, 3))      # 10/2 [2, -1, -1]/3 - 10/2 [-1, -1, 2]/3
    >>> policy_gradient_estimate(*words).round(12).tolist()
    [[5.0, 0.0, -5.0]]
    >>> policy_gradient_estimate(*words, baseline="leave_one_out").round(12).tolist()
    [[10.0, 0.0, -10.0]]
    """
    dtype, logits = np.asarray(logits).dtype, _double(logits)
    rewards = check.real(rewards=check.array(ndim=2, rewards=rewards))
    mask = np.ones(rewards.shape) if mask is None else check.mask(ndim=2, mask=mask)
    rows = check.ids(logits.shape[0], ndim=2, states=states)
    actions = check.ids(logits.shape[1], ndim=2, actions=actions)
    check.shape(rewards.shape, "like rewards", states=rows, actions=actions, mask=mask)
    check.entries_between(0, 0, "since its mask is 0", rewards=rewards * (1 - mask))
    check.one_of(tuple(BASELINES), baseline=baseline)
    check.positive(total=mask.sum(), called="the sum of mask")
    taken = mask == 1
    check.array(chosen=logits[rows[taken], actions[taken]], called="the logits of actions")
    episodes = Episodes(rows, actions, rewards, rows, mask, np.ones(len(rows), bool))
    coefficient = BASELINES[baseline](episodes, check.between(0, 1, gamma=gamma))
    weights = (mask * coefficient / len(rows)).reshape(1, -1)
    estimate = added_scores(rows.reshape(1, -1), actions.reshape(1, -1), weights, logits)[0]
    return estimate.astype(dtype if dtype.kind == "f" else float)


def added_scores(rows: Array, actions: Array, weights: Array, logits: Array) -> Array:
    """sum_k weights_mk score(logits[rows_mk], actions_mk), (M, O, A), for arrays (M, K) and logits (O, A)."""
    m, shape = len(rows), logits.shape
    scores = np.zeros((*shape, shape[1]))
    possible = np.nonzero(logits > -np.inf)
    scores[possible] = score(logits[possible[0]], possible[1])
    places = np.ravel_multi_index((np.arange(m)[:, None], rows, actions), (m, *shape))
    drawn = np.bincount(places.ravel(), weights.ravel(), minlength=m * logits.size).reshape(m, *shape)
    return np.matmul(drawn.transpose(1, 0, 2), scores).transpose(1, 0, 2)


# ---------------------------------------------------------------- exact expectation and variance

def expectation_and_variance(mdp: MDP, logits: Array, horizon: int, estimator: Estimator, episodes: int = 1,
                             limit: int = LIMIT) -> tuple[Array, Array]:
    """E[g] and the variance of each coordinate of g, (1), over every batch of N trajectories: (O, A) twice.

    logits     (O, A)  pi = softmax(logits)
    horizon    T >= 1 steps
    estimator  a function of episodes and gamma, such as those above
    episodes   N >= 1; an estimator that treats trajectories one by one has a variance of 1/N of that at 1
    limit      how many batches may be enumerated

    Memory does not grow with the number of batches; from N = 2 on, the trajectories themselves are held.
    Raises ValueError, before anything is computed, if there are more than `limit` batches.

    The two rooms:

    >>> rooms = MDP([[[1, 0], [0, 1]]] * 2, [[1, 0], [0, 2]], 1.0, start=0)
    >>> for estimator in total_return, reward_to_go:
    ...     mean, variance = expectation_and_variance(rooms, np.zeros((2, 2)), 2, estimator)
    ...     print(mean.tolist(), variance.sum().item())
    [[0.25, -0.25], [-0.25, 0.25]] 2.75
    [[0.25, -0.25], [-0.25, 0.25]] 2.0
    """
    logits = _double(logits)
    return moments((p, _estimates(mdp, batch, logits, estimator(batch, mdp.gamma)))
                   for p, batch in _blocks(mdp, logits, horizon, episodes, limit))


def moments(blocks: Iterable[tuple[Array, Array]]) -> tuple[Array, Array]:
    """Mean and variance, coordinate by coordinate, of g with probabilities p, from blocks (p (M,), g (M, ...)).

    Blocks are merged by their means and squared deviations, so nothing cancels as in E[g^2] - E[g]^2.
    """
    mass, mean, spread = 0.0, 0.0, 0.0
    for p, g in blocks:
        if not (here := p.sum()):
            continue                        # too improbable for a float
        center = np.tensordot(p / here, g, 1)
        step, mass = center - mean, mass + here
        mean = mean + step * (here / mass)
        spread = spread + np.tensordot(p, (g - center) ** 2, 1) + step**2 * here * (1 - here / mass)
    return mean, spread


def best_constant(mdp: MDP, logits: Array, horizon: int, estimator: Estimator = reward_to_go) -> float:
    """b* of (6), in units of reward: the constant baseline of least variance for one trajectory.

    estimator  reward_to_go or total_return; a function linear in its argument `baseline`
    The others are as in expectation_and_variance.  Raises ValueError where no score differs from 0: then
    no baseline changes anything.

    One step, nine times in ten the answer that pays 1, else 0: b* = .1, and not the mean .9.

    >>> bandit = MDP([[[0, 1], [0, 1]]] * 2, [[1, 0], [0, 0]], 1.0, start=0, terminal=[0, 1])
    >>> round(best_constant(bandit, np.log([[.9, .1], [.5, .5]]), 1), 12)
    0.1
    """
    logits = _double(logits)
    overlap = length = 0.0
    for p, batch in _blocks(mdp, logits, horizon, 1, LIMIT):
        plain, lowered = (estimator(batch, mdp.gamma, baseline=b) for b in (0.0, 1.0))
        u, w = (_estimates(mdp, batch, logits, c) for c in (plain, plain - lowered))
        overlap += np.einsum("m,moa,moa->", p, u, w)
        length += np.einsum("m,moa,moa->", p, w, w)
    check.positive(length=length, called="the mean squared score")
    return (overlap / length).item()


def _double(logits: Array) -> Array:
    return check.real(logits=check.logits(ndim=2, logits=logits))


def _estimates(mdp: MDP, batch: Episodes, logits: Array, coefficient: Array) -> Array:
    """(1) for every batch: (M, O, A) from arrays (M, N, T)."""
    m, n, _ = batch.mask.shape
    rows, weights = mdp.observation[batch.states].reshape(m, -1), batch.mask * coefficient / n
    return added_scores(rows, batch.actions.reshape(m, -1), weights.reshape(m, -1), logits)


def _blocks(mdp: MDP, logits: Array, horizon: int, n: int, limit: int) -> Iterator[tuple[Array, Episodes]]:
    """Every batch of n trajectories: probabilities (M,) and arrays (M, n, T), some batches at a time."""
    n, limit, policy = check.integer(1, episodes=n), check.integer(1, limit=limit), softmax(logits)
    paths: Iterable[tuple] = mdp.trajectories(policy, horizon, limit)
    if n > 1:
        steps = np.broadcast_to(policy[mdp.observation], (horizon, *mdp.transition.shape[:2]))
        count = trajectories.count(trajectories.edges(mdp.transition, mdp.reward, mdp.terminal, steps), mdp.start)
        if count**n > limit:
            check.fail("episodes", n, f"fewer: {count} trajectories make {count**n} batches, and limit is {limit}")
    batches = product(paths, repeat=n) if n > 1 else ((path,) for path in paths)
    size = max(1, BLOCK // (logits.size + n * horizon))
    while block := list(islice(batches, size)):
        probability, arrays = _packed([path for batch in block for path in batch], horizon, mdp.terminal)
        yield probability.reshape(-1, n).prod(axis=1), Episodes(*(a.reshape(-1, n, *a.shape[1:]) for a in arrays))


def _packed(paths: list[tuple], horizon: int, terminal: Array) -> tuple[Array, Episodes]:
    """Probabilities (K,) and padded arrays (K, T) of trajectories as mdp.trajectories gives them."""
    probability, states, actions, rewards = zip(*paths, strict=True)

    def padded(rows: Iterable[tuple], dtype: type) -> Array:
        result, block = np.zeros((horizon + 1, len(paths)), dtype), list(zip_longest(*rows, fillvalue=0))
        result[:len(block)] = np.reshape(block, (-1, len(paths)))
        return result.T

    lengths = np.fromiter(map(len, actions), int)
    mask = (np.arange(horizon) < lengths[:, None]).astype(float)
    visited = padded(states, int)
    return np.array(probability), Episodes(
        np.where(mask, visited[:, :-1], 0), padded(actions, int)[:, :-1], padded(rewards, float)[:, :-1],
        np.where(mask, visited[:, 1:], 0), mask, terminal[visited[np.arange(len(paths)), lengths]])

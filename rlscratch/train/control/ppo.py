"""PPO with an actor and a critic, in environments of Gymnasium: actions are numbers, or one of a list.

Each update, as on tables (rlscratch.train.tabular.ppo):

    N environments side by side make T steps each under pi_old; log pi_old is kept as it was then
    A_t by GAE from the critic; its targets are R_t = A_t + V(s_t)
    for each epoch, the steps in a new random order, cut into minibatches: one step of Adam down
        the clipped surrogate (formulas.continuous for densities, which is formulas.ppo's)
        half the squared error of the critic

An episode that terminated has discount 0.  One that was cut off at its limit of steps goes on in V of the state that
the last action led to, and boundary 1 keeps the next episode out.  Advantages are whitened, so lr need not know the
scale of rewards; the critic's targets are in units of `unit`, which is to bring returns to about 1.

What a policy earns is measured with its likeliest action, over episodes from seeds of their own.

Source: document 004, 1.3; document 002, "PPO Steps"; Schulman et al. 2017, arXiv:1707.06347.
Leaves out: observations of several parts; clipping the values.
"""
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rlscratch import autograd, check
from rlscratch.autograd import Tensor
from rlscratch.check import Array
from rlscratch.formulas import continuous, ppo, returns
from rlscratch.optim import AdamW, clip_grad_norm
from rlscratch.train import environments
from rlscratch.train.control.networks import Listed, Numbers, initial, output, values
from rlscratch.train.dqn.network import Measured
from rlscratch.train.on_policy import deviation


@dataclass(frozen=True)
class Settings:
    """What a run can choose.

    environments, steps  N and T of a batch
    epochs, minibatches  of each batch
    lr                   of Adam; falls to 0 in a straight line over `updates`
    gamma, lam           discount, and lambda of GAE
    clip                 eps of the ratio
    entropy              weight of an entropy bonus
    log_std              the logarithm of sigma before training
    hidden               units of a layer
    unit                 of rewards: what the critic calls 1
    """

    environments: int = 16
    steps: int = 128
    epochs: int = 10
    minibatches: int = 8
    lr: float = 1e-3
    gamma: float = 0.99
    lam: float = 0.95
    clip: float = 0.2
    entropy: float = 0.0
    log_std: float = -0.5
    hidden: int = 64
    unit: float = 1.0


# What the bars train: the environment, its settings, how many updates.  Without an entropy bonus one drone in six
# learns to hover, where nothing is lost; its sigma is then too small to find the way.
RECIPES = {
    "drone": ("rlscratch.train.control.drone:rlscratch/Drone-v0", Settings(minibatches=16, entropy=0.01), 300),
    "Pendulum-v1": ("Pendulum-v1", Settings(gamma=0.9, unit=16.0, log_std=0.0), 80),
    "CartPole-v1": ("CartPole-v1", Settings(environments=8, minibatches=4, gamma=0.98, lam=0.8, unit=10.0), 100),
}


class Batch:
    """N environments side by side: where they are, and what T steps gave."""

    def __init__(self, text: str, count: int, rng: np.random.Generator, max_steps: int | None = None) -> None:
        from gymnasium import spaces
        self.envs = [environments.Asked(text, max_steps) for _ in range(check.integer(1, environments=count))]
        observations, actions = self.envs[0].env.observation_space, self.envs[0].env.action_space
        if not environments.filled(observations):
            check.fail("env", text, "an environment whose observations are a Box with an axis and numbers on it; "
                                    f"this has {observations}")
        if not isinstance(actions, spaces.Discrete) and not environments.filled(actions):
            check.fail("env", text, "an environment whose actions are Discrete or a Box with an axis and numbers on "
                                    f"it; this has {actions}")
        self.see = Measured(observations.low, observations.high)
        for env in self.envs:
            env.see = self.see
        self.kind = Numbers(actions) if isinstance(actions, spaces.Box) else Listed(actions)
        self.rng, self.totals, self.finished = rng, np.zeros(count), []
        self.seeds, self.sent = [0] * count, [[] for _ in range(count)]     # of each episode, and its actions so far
        self.at = np.stack([self._begun(i) for i in range(count)])

    def collect(self, theta: dict[str, Tensor], steps: int) -> dict[str, Array]:
        """T steps of each, arrays (T, N, ...): x, action, logp, reward, x_next, terminated, ended."""
        rows = []
        for _ in range(steps):
            x = self.at.copy()
            with autograd.no_grad():
                head = output(theta, "actor", x).data
            action = self.kind.draw(head, theta, self.rng)
            rows.append((x, action, self.kind.logp(head, theta, action), *self._stepped(self.kind.sent(action))))
        names = ("x", "action", "logp", "reward", "x_next", "terminated", "ended")
        return {name: np.stack(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}

    def _stepped(self, sent: Array) -> tuple[Array, ...]:
        n = len(self.envs)
        reward, terminated, ended, x_next = np.zeros(n), np.zeros(n), np.zeros(n), self.at.copy()
        for i, env in enumerate(self.envs):
            self.sent[i].append(sent[i].tolist())       # the environment may write into what it is given
            x_next[i], reward[i], terminated[i], truncated, _ = env.step(sent[i])
            self.totals[i] += reward[i]
            ended[i] = terminated[i] or truncated
            self.at[i] = x_next[i]
            if ended[i]:
                self.finished.append(self.totals[i])
                self.totals[i], self.at[i] = 0.0, self._begun(i)
        return reward, x_next, terminated, ended

    def rejoin(self, seeds: list[int], sent: list[list], totals: list[float], at: Array) -> None:
        """Go to the middle of episodes: begin each from its seed, and do again what was done.

        totals, at  what it came to: rewards so far (N,), the last states (N, D)

        Where it comes to something else, or fails, the environment does not repeat itself from a seed.  A new episode
        begins there, and a line on standard error says so.
        """
        self.seeds, self.sent, self.totals = list(seeds), [list(actions) for actions in sent], np.array(totals)
        self.at, anew = at.copy(), 0
        for i in range(len(at)):
            if not self._repeats(i):
                self.totals[i], self.at[i], anew = 0.0, self._begun(i), anew + 1
        if anew:
            environments.tell_anew(self.envs[0].text, anew, len(at))

    def _repeats(self, i: int) -> bool:
        env, total = self.envs[i], 0.0
        try:
            state = env.reset(self.seeds[i])[0]
            for action in self.sent[i]:
                state, reward, *_ = env.step(self.kind.told(action))
                total += reward
        except RuntimeError:
            return False
        return np.array_equal(state, self.at[i]) and total == self.totals[i]

    def _begun(self, i: int) -> Array:
        self.seeds[i], self.sent[i] = int(self.rng.integers(2**31)), []
        return self.envs[i].reset(self.seeds[i])[0]


@dataclass
class Learner:
    """All that a run has: its parameters, its environments, its settings."""

    text: str
    settings: Settings
    rng: np.random.Generator
    max_steps: int | None = None
    batch: Batch = field(init=False)
    theta: dict[str, Tensor] = field(init=False)
    optimizer: AdamW = field(init=False)

    def __post_init__(self) -> None:
        self.batch = Batch(self.text, self.settings.environments, self.rng, self.max_steps)
        kind = self.batch.kind
        log_std = self.settings.log_std if isinstance(kind, Numbers) else None
        self.theta = initial(self.batch.see.inputs, self.settings.hidden, kind.outputs, log_std, self.rng)
        self.optimizer = AdamW(self.theta, self.settings.lr, eps=1e-5, weight_decay=0.0)

    def learn(self, updates: int) -> Iterator[dict[str, float]]:
        """So many updates; the figures of each."""
        for done in range(check.integer(1, updates=updates)):
            yield self.update(done, updates)

    def kept(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """All that the next update depends on, as arrays and facts."""
        state, batch = self.optimizer.state_dict(), self.batch
        parts = {"theta": {name: t.data for name, t in self.theta.items()}, "m": state["m"], "v": state["v"]}
        return ({f"{part}.{name}": array for part, arrays in parts.items() for name, array in arrays.items()}
                | {"at": batch.at},
                {"steps": state["steps"], "seeds": batch.seeds, "sent": batch.sent, "totals": batch.totals.tolist(),
                 "rng": self.rng.bit_generator.state})

    def restore(self, arrays: Mapping[str, Array], facts: Mapping[str, Any]) -> None:
        """Go on from what `kept` gave."""
        for name, t in self.theta.items():
            np.copyto(t.data, arrays[f"theta.{name}"])
        moments = {part: {name: arrays[f"{part}.{name}"] for name in self.theta} for part in ("m", "v")}
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), **moments, "steps": dict(facts["steps"])})
        self.rng.bit_generator.state = facts["rng"]
        self.batch.rejoin(facts["seeds"], facts["sent"], facts["totals"], arrays["at"])

    def update(self, done: int, updates: int) -> dict[str, float]:
        """One update, after `done` of so many; its figures."""
        self.optimizer.lr = self.settings.lr * (1 - done / updates)
        s, batch = self.settings, self.batch
        seen = batch.collect(self.theta, s.steps)
        v, v_next = (values(self.theta, seen[name].reshape(-1, batch.see.inputs)).reshape(s.steps, -1).astype(float)
                     for name in ("x", "x_next"))
        advantage = returns.gae(seen["reward"].T / s.unit, v.T, v_next.T, s.gamma * (1 - seen["terminated"].T), s.lam,
                                seen["ended"].T).T
        flat = {name: seen[name].reshape(-1, *seen[name].shape[2:]) for name in ("x", "action", "logp")}
        target, n = (advantage + v).ravel(), advantage.size
        held = returns.whitened(advantage.ravel(), np.ones(n), ddof=0)
        off, clipped, parts = self._deviation(flat), 0.0, 0
        for _ in range(s.epochs):
            for part in np.array_split(self.rng.permutation(n), min(s.minibatches, n)):
                clipped += self._descend({name: rows[part] for name, rows in flat.items()}, held[part], target[part])
                parts += 1
        recent, batch.finished = batch.finished, []
        return {"mean_return": float(np.mean(recent)) if recent else float("nan"), "episodes": len(recent),
                "steps": n, "ratio_deviation": off, "clip_fraction": clipped / parts}

    def _descend(self, rows: dict[str, Array], advantage: Array, target: Array) -> float:
        s, kind, weight = self.settings, self.batch.kind, np.full(len(target), 1 / len(target))
        head, value = (output(self.theta, part, rows["x"]) for part in ("actor", "critic"))
        logp = kind.logp(head.data.astype(float), self.theta, rows["action"])
        dlogp = continuous.density_clip_grad(logp, rows["logp"], advantage, weight, s.clip, s.clip)
        dvalue = ppo.value_grad(value.data[:, 0].astype(float), target, weight)
        self.optimizer.zero_grad()
        autograd.backward([*kind.seeds(head, self.theta, rows["action"], dlogp, s.entropy), (value, dvalue[:, None])])
        clip_grad_norm(self.optimizer, 0.5)
        self.optimizer.step()
        return float(np.mean((dlogp == 0) & (advantage != 0)))

    def _deviation(self, flat: dict[str, Array]) -> float:
        with autograd.no_grad():
            head = output(self.theta, "actor", flat["x"]).data
        return deviation(self.batch.kind.logp(head, self.theta, flat["action"]), flat["logp"])

    def act(self, observation: Any) -> Any:
        """The likeliest action, as the environment takes it."""
        return self._best(self.batch.see.state(observation))

    def _best(self, state: Array) -> Any:
        with autograd.no_grad():
            head = output(self.theta, "actor", state[None]).data
        return self.batch.kind.sent(self.batch.kind.best(head))[0]

    def evaluate(self, episodes: int, seed: int) -> tuple[Array, list[dict[str, Any]]]:
        """Total rewards (N,) of the likeliest actions, and what the environment said at the end of each episode."""
        totals, said = np.zeros(check.integer(1, episodes=episodes)), []
        env = environments.Asked(self.text, self.max_steps)
        env.see = self.batch.see
        for i in range(episodes):
            state, over = env.reset(seed + i)[0], False
            while not over:
                state, reward, terminated, truncated, info = env.step(self._best(state))
                totals[i] += reward
                over = terminated or truncated
            said.append(info)
        return totals, said

"""The objective of a run, with the numbers of its configuration in it, a line each.

A line is plain text in the notation of the formulas' docstrings; report.runs.page.typeset puts it on the page.  Where a
preset decides (GRPO's variants) the words are read off the preset itself, so a new row of that table has its line.
"""
from collections.abc import Callable, Mapping
from typing import Any

from rlscratch.formulas import grpo, policy_gradient, weights
from rlscratch.train import variants

Config = Mapping[str, Any]
IMITATE = "L = - mean of log pi(token | the tokens before it)"
GAE = "A_t = delta_t + {gamma:g} * {lam:g} A_t+1,    delta_t = r_t + {gamma:g} V_t+1 - V_t"
WEIGHTS = {weights.sequence_mean: "1 / (B n_i), the mean of an answer, then of answers",
           weights.token_mean: "1 / N, the mean of all tokens", weights.sequence_sum: "1 / B, the sum of an answer's",
           weights.constant_length: "1 / (B L), L the longest answer that there may be"}
ADVANTAGES = {grpo.group_advantage: "A_i = (r_i - mean r) / std r, over the answers to one prompt",
              variants.CENTRED: "A_i = r_i - mean r, over the answers to one prompt",
              policy_gradient.leave_one_out_advantage: "A_i = r_i - mean of the other answers to the prompt"}


def objective(config: Config) -> list[str]:
    """The lines of a run's objective; none for a command that is not known here.

    config  of the run, as its config.json has it

    >>> print(*objective({"command": "train dpo", "loss": "dpo", "beta": 0.6}), sep="\\n")
    L = - mean of log sigma(m),    sigma(m) = 1 / (1 + exp(-m))
    m = 0.6 [log pi(chosen) / pi_ref(chosen) - log pi(rejected) / pi_ref(rejected)]
    """
    name = config["command"].removeprefix("train ")
    return KNOWN[name](config) if name in KNOWN else []


def _range(low: float, high: float) -> str:
    return f"{1 - low:g}, {1 + high:g}"


def _entropy(config: Config) -> list[str]:
    return [f"- {config['entropy']:g} times the mean entropy"] if config.get("entropy") else []


def _q_learning(config: Config) -> list[str]:
    decay = f",    alpha over 1 + {config['alpha_decay']:g} (n - 1) at the n-th visit" if config["alpha_decay"] else ""
    return [f"Q(s, a) <- Q(s, a) + {config['alpha']:g} [r + {config['gamma']:g} max Q(s', .) - Q(s, a)]{decay}"]


def _dqn(config: Config) -> list[str]:
    return ["L = mean of H(y - Q(s, a)),    H(e) = e^2 / 2 up to |e| = {delta:g}, a line beyond".format(**config),
            "y = r + {gamma:g} max Q_target(s', .)".format(**config)]


def _reinforce(config: Config) -> list[str]:
    return [f"L = - mean over episodes of sum_t (G_t - b) log pi(a_t | s_t),    b: {config['baseline']}",
            f"G_t = r_t + {config['gamma']:g} * G_t+1", *_entropy(config)]


def _ppo(config: Config) -> list[str]:
    clip, kl = config["clip"], config.get("kl_penalty")
    lines = [f"L = - mean over tokens of min(rho A, clip(rho, {_range(clip, clip)}) A),    rho = pi / pi_old",
             GAE.format(lam=config["lam"], gamma=config.get("gamma", 1.0)), *_entropy(config)]
    if kl is not None:
        lines += [f"+ {config['value_weight']:g} times the mean of (V - R)^2 / 2"]
        beta = f"{config['beta']:g}" + (f", steered to {config['kl_target']:g} nats" if config["kl_target"] else "")
        lines += [f"r_t loses beta log pi / pi_ref,    beta = {beta}" if kl == "k1-reward" else
                  f"+ beta times the mean of {kl.removesuffix('-loss')}(pi, pi_ref),    beta = {beta}"]
    return lines


def _grpo(config: Config) -> list[str]:
    one = variants.variant(config["variant"], **{name: config.get(name) for name in ("beta", "eps_low", "eps_high")})
    bounds = "" if one.eps_low is None else _range(one.eps_low, one.eps_high)
    loss = {grpo.grpo_loss: "A log pi", grpo.grpo_clip_loss: f"min(rho A, clip(rho, {bounds}) A),    rho = pi / pi_old",
            grpo.gspo_loss: f"min(s A, clip(s, {bounds}) A),    log s = mean of log rho over the answer",
            grpo.cispo_loss: f"clip(rho, {bounds}) A log pi,    the clipped rho is data"}.get(one.loss, one.name)
    lines = [f"L = - sum over tokens of w {loss}", f"w = {WEIGHTS.get(one.weight, one.weight.__name__)}",
             ADVANTAGES.get(one.advantage, "A: its own")]
    if one.beta:
        lines += [f"+ {one.beta:g} times the weighted k3(pi, pi_ref)" if one.kl_in_loss else
                  f"A loses {one.beta:g} times what log pi / pi_ref exceeds that of the others"]
    return lines


def _reward_model(config: Config) -> list[str]:
    return {"pairs": ["L = - mean over pairs of log sigma(s_better - s_worse),    sigma(m) = 1 / (1 + exp(-m))"],
            "ratings": ["L = mean of (s - grade)^2 / 2"]}.get(
                config["loss"], ["L = - mean over rankings of log P(ranking),    P(first of a rest) = softmax(s)"])


def _dpo(config: Config) -> list[str]:
    m = "[log pi(chosen) / pi_ref(chosen) - log pi(rejected) / pi_ref(rejected)]"
    if config["loss"] == "ipo":
        return [f"L = mean of (m - {1 / (2 * config['beta']):g})^2", f"m = {m}"]
    return ["L = - mean of log sigma(m),    sigma(m) = 1 / (1 + exp(-m))", f"m = {config['beta']:g} {m}"]


def _expert(config: Config) -> list[str]:
    return [IMITATE, "of the {kept:g} best of {group:g} answers to each prompt".format(**config)]


KNOWN: dict[str, Callable[[Config], list[str]]] = {
    "q-learning": _q_learning, "dqn": _dqn, "reinforce": _reinforce, "ppo": _ppo, "grpo": _grpo,
    "reward-model": _reward_model, "dpo": _dpo, "expert-iteration": _expert,
    "clone": lambda config: ["L = - mean of log pi(a | s) over the moves that an expert showed"],
    "sft": lambda config: [IMITATE, "over the tokens of shown answers"], "pretrain": lambda config: [IMITATE]}

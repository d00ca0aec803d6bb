r"""The objective of a run, with the numbers of its configuration in it: LaTeX, a string a line.

    \qquad   here a line may end, as in report/equations.py, which makes MathML of it

Where a preset decides (GRPO's variants) the terms are read off the preset itself, so a new row of that table has its
line.  report.runs.page.typeset puts the lines on the page.
"""
from collections.abc import Callable, Mapping
from typing import Any

from rlscratch.formulas import grpo, policy_gradient, weights
from rlscratch.train import variants

Config = Mapping[str, Any]
IMITATE = r"L = - \text{mean of} \log \pi(\text{token} \mid \text{those before it})"
SIGMA = r"L = - \text{mean of} \log \sigma(m) \qquad \sigma(m) = \frac{1}{1 + e^{-m}}"
CLIP = r"\operatorname{{clip}}({0}, {1:g}, {2:g})"
RHO = r"\rho"
RATIO = r"\rho = \frac{\pi}{\pi_\text{old}}"
KL = r"\log \frac{\pi}{\pi_\text{ref}}"
WEIGHTS = {weights.sequence_mean: r"w = \frac{1}{B n_i}", weights.token_mean: r"w = \frac{1}{N}",
           weights.sequence_sum: r"w = \frac{1}{B}",
           weights.constant_length: r"w = \frac{1}{B L} \qquad L: \text{the longest answer that there may be}"}
ADVANTAGES = {grpo.group_advantage: r"A_i = \frac{r_i - \text{mean } r}{\text{std } r}",
              variants.CENTRED: r"A_i = r_i - \text{mean } r",
              policy_gradient.leave_one_out_advantage: r"A_i = r_i - \text{mean of the others}"}


def objective(config: Config) -> list[str]:
    r"""The lines of a run's objective; none for a command that is not known here.

    config  of the run, as its config.json has it

    >>> print(*objective({"command": "train q-learning", "alpha": 0.1, "gamma": 0.99, "alpha_decay": 0}))
    Q(s, a) \leftarrow Q(s, a) \qquad + 0.1 \left[ r + 0.99 \max Q(s', \cdot) - Q(s, a) \right]
    """
    name = config["command"].removeprefix("train ")
    return KNOWN[name](config) if name in KNOWN else []


def _entropy(config: Config) -> list[str]:
    return [rf"- {config['entropy']:g} \text{{ times the mean entropy}}"] if config.get("entropy") else []


def _q_learning(config: Config) -> list[str]:
    gain = rf"{config['alpha']:g} \left[ r + {config['gamma']:g} \max Q(s', \cdot) - Q(s, a) \right]"
    over = rf"\qquad \text{{over }} 1 + {config['alpha_decay']:g} (n - 1) \text{{ at the }} n\text{{-th visit}}"
    return [rf"Q(s, a) \leftarrow Q(s, a) \qquad + {gain}" + (over if config["alpha_decay"] else "")]


def _dqn(config: Config) -> list[str]:
    return [r"L = \text{mean of } H(y - Q(s, a))", rf"H: \text{{Huber's loss with }} \delta = {config['delta']:g}",
            rf"y = r + {config['gamma']:g} \max Q_\text{{target}}(s', \cdot)"]


def _reinforce(config: Config) -> list[str]:
    return [r"L = - \text{mean of } \sum_t (G_t - b) \log \pi(a_t | s_t)", rf"b: \text{{{_word(config['baseline'])}}}",
            rf"G_t = r_t + {config['gamma']:g} \, G_{{t+1}}", *_entropy(config)]


def _ppo(config: Config) -> list[str]:
    clip, kl, gamma = config["clip"], config.get("kl_penalty"), config.get("gamma", 1.0)
    lines = [rf"L = - \text{{mean of }} \min(\rho A, {CLIP.format(RHO, 1 - clip, 1 + clip)} A)", *_entropy(config)]
    advantage = [rf"A_t = \delta_t + {gamma:g} \cdot {config['lam']:g} \, A_{{t+1}} "
                 rf"\qquad \delta_t = r_t + {gamma:g} \, V_{{t+1}} - V_t"]
    if kl is not None:
        steered = rf" \qquad \text{{steered to }} {config['kl_target']:g} \text{{ nats}}" if config["kl_target"] else ""
        k = kl.removesuffix("-loss")
        lines += [rf"+ {config['value_weight']:g} \text{{ times the mean of }} (V - R)^2 / 2",
                  (rf"r_t \text{{ loses }} {config['beta']:g} {KL}" if kl == "k1-reward" else
                   rf"+ {config['beta']:g} \text{{ times the mean of {k}}}") + steered]
    return [*lines, RATIO, *advantage]


def _grpo(config: Config) -> list[str]:
    one = variants.variant(config["variant"], **{name: config.get(name) for name in ("beta", "eps_low", "eps_high")})
    bounds = (1 - (one.eps_low or 0), 1 + (one.eps_high or 0))
    rho, s = (CLIP.format(letter, *bounds) for letter in (RHO, "s"))
    loss = {grpo.grpo_loss: r"A \log \pi", grpo.grpo_clip_loss: rf"\min(\rho A, {rho} A) \qquad {RATIO}",
            grpo.gspo_loss: rf"\min(s A, {s} A) \qquad \log s = \text{{mean of }} \log \rho",
            grpo.cispo_loss: rf"{rho} A \log \pi \qquad \text{{the clipped }} \rho \text{{ is data}}"}.get(
                one.loss, rf"\text{{{_word(one.name)}}}")
    loss, *where = loss.split(r"\qquad")
    brake = [rf" + {one.beta:g} \sum w \, k_3 "] if one.beta and one.kl_in_loss else []
    lines = [r"\qquad".join([rf"L = - \sum w {loss}", *brake, *where]), WEIGHTS.get(one.weight, r"w: \text{its own}"),
             ADVANTAGES.get(one.advantage, r"A: \text{its own}")]
    if one.beta and not one.kl_in_loss:
        lines += [rf"A \text{{ loses }} {one.beta:g} {KL} \qquad \text{{less that of the others}}"]
    return lines


def _reward_model(config: Config) -> list[str]:
    known = {"pairs": SIGMA.replace("(m)", r"(s_\text{better} - s_\text{worse})", 1),
             "ratings": r"L = \text{mean of } \frac{(s - \text{grade})^2}{2}"}
    score = [rf"s = w \cdot h + {config['belief']:g} \log \pi(\text{{answer}})"] if config.get("belief") else []
    return [known.get(config["loss"], r"L = - \text{mean of } \sum \log \operatorname{softmax}(s) \qquad "
                                      r"\text{of the best of each rest}"), *score]


def _dpo(config: Config) -> list[str]:
    gap = rf"[ {KL}(\text{{chosen}}) \qquad - {KL}(\text{{rejected}}) ]"
    if config["loss"] == "ipo":
        return [rf"L = \text{{mean of }} (m - {1 / (2 * config['beta']):g})^2", f"m = {gap}"]
    return [SIGMA, rf"m = {config['beta']:g} {gap}"]


def _expert(config: Config) -> list[str]:
    return [IMITATE, rf"\text{{of the }} {config['kept']:g} \text{{ best of }} {config['group']:g} \text{{ answers}}"]


def _word(name: str) -> str:
    return name.replace("_", " ")


KNOWN: dict[str, Callable[[Config], list[str]]] = {
    "q-learning": _q_learning, "dqn": _dqn, "reinforce": _reinforce, "ppo": _ppo, "grpo": _grpo,
    "reward-model": _reward_model, "dpo": _dpo, "expert-iteration": _expert,
    "clone": lambda config: [r"L = - \text{mean of } \log \pi(a | s) \qquad \text{over the moves of an expert}"],
    "sft": lambda config: [IMITATE, r"\text{over shown answers}"], "pretrain": lambda config: [IMITATE]}

"""rlscratch: reinforcement learning for language models, from scratch.

Letters for the axes of arrays, the same in every docstring:

    B  sequences in a batch        V  vocabulary         N  rows
    T  tokens or time steps        C  channels           S  states
    G  answers to one prompt       H  heads              A  actions
    D  width of one head           K  heads of keys

Symbols and the names that stand for them in the code:

    pi(a|s)     probs, logp          the policy; log-probabilities are natural logarithms
    z           logits               pi = softmax(z / temperature)
    pi_old      logp_old             the policy that sampled the tokens
    pi_ref      logp_ref, ref        the frozen reference policy of a KL penalty
    r_t         rewards[t]           follows action t; time starts at 0
    gamma       discount, gamma      0 in discount[t] where the episode terminated at t
    G_t         returns, rewards-to-go
    A_t         advantage            how much better than expected, in units of reward
    rho_t       ratio                pi(a|s) / pi_old(a|s)
    w_t         weight               how much token t counts in a loss (formulas.weights)
    beta        beta                 strength of the KL penalty
    eps         eps_low, eps_high    clip range of the ratio

logp[t], mask[t] and weight[t] belong to token t itself.  A loss is to be minimised, an
objective to be maximised; x_grad is the derivative of x_loss in its first argument.

A room opens when it is asked for:

    import rlscratch as rl
    rl.formulas.grpo.group_advantage([10, 5, -10])
"""
import importlib
from types import ModuleType

__version__ = "0.2.0"

ROOMS = (
    "check", "files", "memory", "kernels", "formulas", "autograd", "mdp", "expectations", "blocks", "transformer",
    "optim", "bpe", "generate", "tasks", "checkpoint", "conformance", "train", "documents", "report", "cli",
)


def __getattr__(name: str) -> ModuleType:
    if name in ROOMS:
        return importlib.import_module(f"rlscratch.{name}")
    raise AttributeError(f"rlscratch has no {name!r}; its rooms are {', '.join(ROOMS)}")


def __dir__() -> list[str]:
    return sorted({*globals(), *ROOMS})

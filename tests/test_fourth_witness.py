"""Autograd as the fourth witness: every gradient derived by hand, against the same loss composed of primitives.

The other three witnesses (central differences, the complex step, enumeration) stand in the formulas' own tests.
Here a loss is written a second time, from exp, log, sums and choices on tensors, and differentiated by a machine
that knows nothing of the formulas: autograd and formulas may not import each other.  Along the way the values of
the two are compared too.

At a kink the composition takes the branch that the formula documents; batches lie on the grid of 1/8 and do
visit kinks.
"""
import importlib
import inspect
import pkgutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from rlscratch import autograd as ag
from rlscratch import formulas
from rlscratch.autograd import Tensor
from strategies import arrays, batches_bt, eighths, logits_nv, logits_v, probs_of

MODULES = {name: importlib.import_module(f"rlscratch.formulas.{name}")
           for _, name, _ in pkgutil.iter_modules(formulas.__path__)}


# ---------------------------------------------------------------- losses from primitives

def log_softmax(z):
    z = z - z.data.max(axis=-1, keepdims=True)
    return z - ag.log(ag.exp(z).sum(axis=-1, keepdims=True))


def softplus(m):
    """log(1 + e^m), for the moderate m of these batches."""
    return ag.log(1 + ag.exp(m))


def clipped(x, low, high):
    """x inside the range, bounds included; constant outside."""
    return ag.where((x.data >= low) & (x.data <= high), x, np.clip(x.data, low, high))


def entropy(z):
    logp = log_softmax(z)
    return -(ag.exp(logp) * logp).sum(axis=-1)


def expected_reward(z, rewards):
    return (ag.exp(log_softmax(z)) * rewards).sum()


def kl_objective(z, ref, rewards, beta):
    logp = log_softmax(z)
    return (ag.exp(logp) * (rewards - beta * (logp - np.log(ref)))).sum()


def log_of_chosen(z, action):
    return ag.gather(log_softmax(z), action[..., None])


def weighted_logp(logp, coefficient, weight, baseline=0.0):
    return -(weight * (coefficient - baseline) * logp).sum()


def surrogate(log_rho, advantage, weight, eps_low, eps_high):
    rho = ag.exp(log_rho)
    return -(weight * ag.minimum(rho * advantage, clipped(rho, 1 - eps_low, 1 + eps_high) * advantage)).sum()


def ppo_clip(logp, old, advantage, weight, eps_low, eps_high):
    return surrogate(logp - old, advantage, weight, eps_low, eps_high)


def k3(logp, ref):
    return ag.exp(ref - logp) - 1 + (logp - ref)


def grpo_clip(logp, old, ref, advantage, weight, eps_low, eps_high, beta):
    return surrogate(logp - old, advantage, weight, eps_low, eps_high) + beta * (weight * k3(logp, ref)).sum()


def gspo(logp, old, advantage, weight, eps_low, eps_high):
    total = weight.sum(axis=-1, keepdims=True)
    log_s = ((logp - old) * weight).sum(axis=-1, keepdims=True) / np.where(total == 0, 1, total)
    return surrogate(log_s, advantage, total, eps_low, eps_high)


def cispo(logp, ratio, advantage, weight, eps_low, eps_high):
    return weighted_logp(logp, np.clip(ratio, 1 - eps_low, 1 + eps_high) * advantage, weight)


def value(v, returns, weight, old=None, clip=None):
    free = (v - returns) ** 2
    if clip is not None:
        held = (clipped(v, old - clip, old + clip) - returns) ** 2
        free = ag.where(free.data >= held.data, free, held)
    return (weight * free).sum() / 2


def bradley_terry(chosen, rejected):
    return softplus(rejected - chosen).mean()


def ranking(scores):
    better, worse = np.triu_indices(scores.shape[-1], k=1)
    return softplus(scores[..., worse] - scores[..., better]).mean()


def plackett_luce(scores):
    """Equation (6) as it stands: log-sum-exp of each tail minus its first score."""
    k = scores.shape[-1]
    draws = [ag.log(ag.exp(scores[..., i:]).sum(axis=-1)) - scores[..., i] for i in range(k)]
    return (ag.concatenate([d.reshape(-1, 1) for d in draws], axis=1).sum(axis=1)).mean()


def log_ratio_gap(logp, rejected, ref, ref_rejected):
    return (logp - ref) - (rejected - ref_rejected)


def dpo(logp, rejected, ref, ref_rejected, beta):
    return softplus(-beta * log_ratio_gap(logp, rejected, ref, ref_rejected)).mean()


def ipo(logp, rejected, ref, ref_rejected, beta):
    return ((log_ratio_gap(logp, rejected, ref, ref_rejected) - 1 / (2 * beta)) ** 2).mean()


def huber(error, delta):
    size = ag.absolute(error)
    return ag.where(size.data <= delta, error ** 2 / 2, delta * (size - delta / 2))


# ---------------------------------------------------------------- batches

def tokens(*names, then=()):
    """Masked (B, T) arrays in this order, "weight" not negative, then what the strategies in `then` draw."""
    batches = batches_bt(*names).map(lambda b: tuple(np.abs(b[n]) if n in ("weight", "ratio") else b[n] for n in names))
    return st.tuples(batches, *then).map(lambda drawn: (*drawn[0], *(x for more in drawn[1:] for x in more)))


def sequences(names, then=()):
    """The same with one advantage a row, (B, 1)."""
    def one_a_row(args):
        return tuple(a[:, :1] if name == "advantage" else a for name, a in zip(names, args, strict=False)) + \
            args[len(names):]

    return tokens(*names, then=then).map(one_a_row)


def vectors(count, low=-3, high=3):
    """`count` arrays (N,)."""
    return st.integers(1, 5).flatmap(lambda n: st.tuples(*[arrays((n,), eighths(low, high))] * count))


def with_targets(logits):
    return logits.flatmap(lambda z: st.tuples(st.just(z), st.lists(
        st.integers(0, z.shape[-1] - 1), min_size=len(z), max_size=len(z)).map(np.array)))


def with_rewards(with_ref):
    def rest(z):
        ref = [probs_of(len(z))] if with_ref else []
        beta = [eighths(0, 4)] if with_ref else []
        return st.tuples(st.just(z), *ref, arrays(z.shape), *beta)

    return logits_v().flatmap(rest)


CLIP = st.sampled_from([(0.2, 0.2), (0.2, 0.28), (1.0, 4.0), (0.0, 0.0), (0.5, 0.125)])
BETA = st.sampled_from([(0.0,), (0.04,), (1.0,)])
POSITIVE = st.sampled_from([(0.1,), (0.5,), (2.0,)])
REACH = st.sampled_from([0.0, 0.125, 0.5, 2.0])
SCORES = st.tuples(st.integers(1, 3), st.integers(2, 5)).flatmap(arrays).map(lambda s: (s,))
VALUES = st.one_of(
    tokens("v", "returns", "weight"),
    st.tuples(tokens("v", "returns", "weight", "old"), REACH).map(lambda drawn: (*drawn[0], drawn[1])))

# Name of the gradient: the loss by hand (None where it is the gradient of a log-probability), the loss from
# primitives, and the arguments of both.
WITNESS = {
    "distribution.entropy_grad": ("entropy", entropy, logits_nv().map(lambda z: (z,))),
    "distribution.expected_reward_grad": (None, expected_reward, with_rewards(False)),
    "cross_entropy.cross_entropy_grad": (
        "cross_entropy_loss", lambda logp, weight: -(weight * logp).sum(), tokens("logp", "weight")),
    "cross_entropy.logits_cross_entropy_grad": (
        "logits_cross_entropy", lambda z, target: -log_of_chosen(z, target).mean(), with_targets(logits_nv())),
    "policy_gradient.score": (None, log_of_chosen, with_targets(logits_nv())),
    "policy_gradient.reinforce_grad": (
        "reinforce_loss", lambda logp, returns, weight, b: weighted_logp(logp, returns, weight, b),
        tokens("logp", "returns", "weight", "baseline")),
    "kl.kl_k1_grad": ("kl_k1", lambda logp, ref: logp - ref, tokens("logp", "ref")),
    "kl.kl_k2_grad": ("kl_k2", lambda logp, ref: (logp - ref) ** 2 / 2, tokens("logp", "ref")),
    "kl.kl_k3_grad": ("kl_k3", k3, tokens("logp", "ref")),
    "kl.kl_objective_grad": (None, kl_objective, with_rewards(True)),
    "continuous.density_clip_grad": (
        "density_clip_loss", ppo_clip, tokens("logp", "old", "advantage", "weight", then=[CLIP])),
    "ppo.ppo_clip_grad": ("ppo_clip_loss", ppo_clip, tokens("logp", "old", "advantage", "weight", then=[CLIP])),
    "ppo.value_grad": ("value_loss", value, VALUES),
    "grpo.grpo_grad": ("grpo_loss", weighted_logp, tokens("logp", "advantage", "weight")),
    "grpo.grpo_clip_grad": (
        "grpo_clip_loss", grpo_clip, tokens("logp", "old", "ref", "advantage", "weight", then=[CLIP, BETA])),
    "grpo.gspo_grad": ("gspo_loss", gspo, sequences(("logp", "old", "advantage", "weight"), then=[CLIP])),
    "grpo.cispo_grad": ("cispo_loss", cispo, tokens("logp", "ratio", "advantage", "weight", then=[CLIP])),
    "preference.bradley_terry_grad": ("bradley_terry_loss", bradley_terry, vectors(2)),
    "preference.ranking_grad": ("ranking_loss", ranking, SCORES),
    "preference.plackett_luce_grad": ("plackett_luce_loss", plackett_luce, SCORES),
    "preference.rating_grad": ("rating_loss", lambda s, ratings: ((s - ratings) ** 2).mean() / 2, vectors(2)),
    "preference.dpo_grad": ("dpo_loss", dpo, st.tuples(vectors(4, -6, 0), POSITIVE).map(lambda d: (*d[0], *d[1]))),
    "preference.ipo_grad": ("ipo_loss", ipo, st.tuples(vectors(4, -6, 0), POSITIVE).map(lambda d: (*d[0], *d[1]))),
    "td.huber_grad": ("huber_loss", huber, st.tuples(vectors(1), POSITIVE).map(lambda d: (*d[0], *d[1]))),
}


def by_autograd(loss, first, *rest):
    """The value of the loss from primitives, and its gradient in the first argument."""
    x = Tensor(first, requires_grad=True)
    y = loss(x, *rest)
    y.backward(np.ones(y.shape))
    return y.data, np.zeros(x.shape) if x.grad is None else x.grad


def public_gradients():
    """Every public function of the formulas that is called something_grad, and score."""
    return {f"{module}.{name}" for module, contents in MODULES.items() for name, f in vars(contents).items()
            if inspect.isfunction(f) and f.__module__ == contents.__name__
            and ((name.endswith("_grad") and not name.startswith("_")) or name == "score")}


def test_no_gradient_lacks_its_fourth_witness():
    assert len(public_gradients()) >= 23
    assert set(WITNESS) == public_gradients()


@pytest.mark.parametrize("name", WITNESS)
@given(data=st.data())
def test_autograd_agrees_with_the_gradient_by_hand(name, data):
    module, function = name.split(".")
    loss_name, composed, batches = WITNESS[name]
    args = data.draw(batches)
    value, gradient = by_autograd(composed, *args)
    assert_allclose(getattr(MODULES[module], function)(*args), gradient, rtol=1e-10, atol=1e-12)
    if loss_name:
        assert_allclose(getattr(MODULES[module], loss_name)(*args), value, rtol=1e-10, atol=1e-12)


PAIRS = {"preference.bradley_terry_grad": (bradley_terry, ()), "preference.dpo_grad": (dpo, (0.5,)),
         "preference.ipo_grad": (ipo, (0.5,))}


@pytest.mark.parametrize("name", PAIRS)
@given(data=st.data())
def test_the_rejected_side_gets_the_negative(name, data):
    composed, beta = PAIRS[name]
    chosen, rejected, *refs = data.draw(vectors(4, -6, 0) if beta else vectors(2))
    _, gradient = by_autograd(lambda r: composed(chosen if beta else Tensor(chosen), r, *refs, *beta), rejected)
    by_hand = getattr(MODULES["preference"], name.split(".")[1])(chosen, rejected, *refs, *beta)
    assert_allclose(-by_hand, gradient, rtol=1e-10, atol=1e-12)


def test_the_same_batch_through_a_network_needs_only_the_seed():
    """logits -> logp -> loss: the loss inside the graph, and the formula's gradient as the seed."""
    rng = np.random.default_rng(0)
    z, action = rng.normal(size=(3, 5, 7)), rng.integers(7, size=(3, 5))
    advantage, weight = rng.normal(size=(3, 5)), rng.random((3, 5))
    old = log_of_chosen(Tensor(z), action).data[..., 0] + rng.normal(size=(3, 5)) * 0.3
    _, inside = by_autograd(
        lambda x: ppo_clip(log_of_chosen(x, action).reshape(3, 5), old, advantage, weight, 0.2, 0.28), z)
    x = Tensor(z, requires_grad=True)
    logp = ag.chosen_logp(x, action)
    logp.backward(MODULES["ppo"].ppo_clip_grad(logp.data, old, advantage, weight, 0.2, 0.28))
    assert_allclose(x.grad, inside, rtol=1e-10, atol=1e-13)


# ---------------------------------------------------------------- the comparison would notice

PLANTED = {
    "sign": lambda g, args: -g,
    "factor": lambda g, args: g * 1.001,
    "clip ignored": lambda g, args: -args[3] * np.exp(args[0] - args[1]) * args[2],
    "weight forgotten": lambda g, args: np.divide(g, args[3], where=args[3] != 0, out=np.zeros_like(g)),
}


@pytest.mark.parametrize("error", PLANTED)
def test_a_planted_error_is_caught(error):
    args = (np.log([[.5, .4, .25]]), np.log([[.33, .4, .5]]), np.array([[2.0, 1.0, -1.0]]), np.array([[.5, .25, .25]]),
            0.2, 0.2)
    _, gradient = by_autograd(ppo_clip, *args)
    by_hand = MODULES["ppo"].ppo_clip_grad(*args)
    assert_allclose(by_hand, gradient, rtol=1e-10)
    with pytest.raises(AssertionError):
        assert_allclose(PLANTED[error](by_hand, args), gradient, rtol=1e-10)

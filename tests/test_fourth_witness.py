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

pytestmark = pytest.mark.compiled_only("calls softmax alone, and its twins agree", kernels=("log_softmax", "softmax"))

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


def weighted_kl(logp, old, ref, weight, estimator):
    d = logp - ref
    k = {"k1": lambda: d, "k2": lambda: d ** 2 / 2, "k3": lambda: k3(logp, ref)}[estimator]()
    return (weight * ag.exp(logp - old) * k).sum()


def dual_clip(logp, old, advantage, weight, eps_low, eps_high):
    rho = ag.exp(logp - old)
    smaller = ag.minimum(rho * advantage, clipped(rho, 1 - eps_low, 1 + eps_high) * advantage)
    held = (advantage < 0) & (smaller.data < 9 * advantage)
    return -(weight * ag.where(held, 9.0 * advantage, smaller)).sum()


def gspo_token(logp, held, old, advantage, weight, eps_low, eps_high):
    total = weight.sum(axis=-1, keepdims=True)
    log_s = ((held - old) * weight).sum(axis=-1, keepdims=True) / np.where(total == 0, 1, total)
    return surrogate(log_s + (logp - held), advantage, weight, eps_low, eps_high)


def gmpo(logp, old, advantage, weight, eps_low, eps_high):
    total = weight.sum(axis=-1, keepdims=True)
    gap = logp - old
    out = (gap.data > eps_high) & (advantage > 0) | (gap.data < -eps_low) & (advantage < 0)
    kept = ag.where(out, np.where(advantage > 0, eps_high, -eps_low) + 0 * old, gap)
    mean = (kept * weight).sum(axis=-1, keepdims=True) / np.where(total == 0, 1, total)
    return -(total * advantage * ag.exp(mean)).sum()


def sapo(logp, old, advantage, weight, tau_pos, tau_neg):
    tau = np.where(advantage > 0, tau_pos, tau_neg)
    gate = 1 / (1 + ag.exp(-tau * (ag.exp(logp - old) - 1)))
    return -(weight * advantage * 4 / tau * gate).sum()


def smoothed_dpo(logp, ref, beta, flip, unbiased):
    d = beta * (logp - ref)
    m = d[:, 0] - d[:, 1]
    if unbiased:
        return (((1 - flip) * softplus(-m) - flip * softplus(m)) / (1 - 2 * flip)).mean()
    return ((1 - flip) * softplus(-m) + flip * softplus(m)).mean()


def simpo(logp, lengths, beta, gamma):
    x = beta * logp / lengths
    return softplus(gamma - (x[:, 0] - x[:, 1])).mean()


def orpo(logp, lengths, lam):
    x = logp / lengths
    odds = x - ag.log(1 - ag.exp(x))
    return (lam * softplus(odds[:, 1] - odds[:, 0]) - x[:, 0]).mean()


def f_dpo(logp, ref, beta, divergence):
    u = ag.exp(logp - ref)
    links = {"reverse_kl": lambda: ag.log(u), "forward_kl": lambda: -1 / u,
             "jensen_shannon": lambda: ag.log(2 * u / (1 + u))}
    link = links.get(divergence, lambda: (1 - u ** -divergence) / divergence)()
    return softplus(beta * (link[:, 1] - link[:, 0])).mean()


def kto(logp, ref, desirable, beta, z):
    side = 2 * desirable.astype(float) - 1
    return (1 / (1 + ag.exp(side * beta * (logp - ref - z)))).mean()


def reward_margin(scores, margin, center):
    c, r = scores[:, 0], scores[:, 1]
    return (softplus(margin - (c - r)) + center * (c + r) ** 2).mean()


def dawid_skene(z, prior, labels):
    """Equation (2) as it stands, item by item and class by class."""
    logp, items = log_softmax(z), []
    for row in labels:
        said = [ag.exp(sum(logp[j, k, x] for j, x in enumerate(row) if x >= 0)) * p for k, p in enumerate(prior)]
        items.append(ag.log(sum(said)).reshape(1))
    return -ag.concatenate(items, axis=0).mean()


def panel(a, wins, nodes):
    """Equation (6) as it stands, node by node."""
    margins, weights = np.polynomial.hermite_e.hermegauss(nodes)
    i, k = np.triu_indices(wins.shape[-1], 1)
    won, lost = (np.moveaxis(w, 1, 2).reshape(-1, wins.shape[1]) for w in (wins[:, :, i, k], wins[:, :, k, i]))
    total = 0
    for x, p in zip(np.sqrt(2) * margins, weights / weights.sum(), strict=True):
        total = total + p * ag.exp(-(won * softplus(-a * x) + lost * softplus(a * x)).sum(axis=1))
    return -ag.log(total).sum() / (won + lost).any(axis=1).sum()


def worth(s, a, wins):
    n, k = s.shape
    d = s.reshape(n, 1, k, 1) - s.reshape(n, 1, 1, k)
    return ((wins * softplus(-d * a[:, None, None])).sum() + (s ** 2).sum() / 2) / n


def distillation(z, teacher, weight, mix):
    p = ag.exp(log_softmax(z))
    if mix == 0:
        terms = teacher * ag.log(teacher / p)
    elif mix == 1:
        terms = p * ag.log(p / teacher)
    else:
        m = mix * teacher + (1 - mix) * p
        terms = mix * teacher * ag.log(teacher / m) + (1 - mix) * p * ag.log(p / m)
    return (weight * terms.sum(axis=-1)).sum()


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


def chosen_rejected(count, then):
    """`count` arrays (N, 2), then what `then` draws."""
    batches = st.integers(1, 3).flatmap(lambda n: st.tuples(*[arrays((n, 2), eighths(-3, 0))] * count))
    return st.tuples(batches, then).map(lambda drawn: (*drawn[0], *drawn[1]))


def counted(then):
    """Log-probabilities below 0 and lengths, (N, 2) each, then what `then` draws."""
    return chosen_rejected(2, then).map(lambda d: (d[0] - 1 / 8, 1 - np.floor(d[1]), *d[2:]))


ESTIMATOR = st.sampled_from([("k1",), ("k2",), ("k3",)])
CLIP = st.sampled_from([(0.2, 0.2), (0.2, 0.28), (1.0, 4.0), (0.0, 0.0), (0.5, 0.125)])
BETA = st.sampled_from([(0.0,), (0.04,), (1.0,)])
POSITIVE = st.sampled_from([(0.1,), (0.5,), (2.0,)])
REACH = st.sampled_from([0.0, 0.125, 0.5, 2.0])
SCORES = st.tuples(st.integers(1, 3), st.integers(2, 5)).flatmap(arrays).map(lambda s: (s,))
WINS = arrays((2, 3, 3, 3), eighths(0, 1)).filter(lambda w: np.triu(w, 1).any()).map(lambda w: w * (1 - np.eye(3)))
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
    "off_policy.weighted_kl_grad": (
        "weighted_kl_loss", weighted_kl, tokens("logp", "old", "ref", "weight", then=[ESTIMATOR])),
    "surrogates.dual_clip_grad": (
        "dual_clip_loss", lambda *a: dual_clip(*a[:-1]),
        tokens("logp", "old", "advantage", "weight", then=[CLIP, st.just((9.0,))])),
    "surrogates.gspo_token_grad": (
        "gspo_token_loss", gspo_token, tokens("logp", "held", "old", "advantage", "weight", then=[CLIP])),
    "surrogates.gmpo_grad": ("gmpo_loss", gmpo, sequences(("logp", "old", "advantage", "weight"), then=[CLIP])),
    "surrogates.sapo_grad": (
        "sapo_loss", sapo, tokens("logp", "old", "advantage", "weight",
                                then=[st.sampled_from([(1.0, 1.05), (.5, 2.0)])])),
    "pairs.smoothed_dpo_grad": (
        "smoothed_dpo_loss", smoothed_dpo, chosen_rejected(2, st.sampled_from([(.5, .25, True), (2.0, .125, False)]))),
    "pairs.simpo_grad": ("simpo_loss", simpo, counted(st.sampled_from([(2.0, .5), (1.0, 0.0)]))),
    "pairs.orpo_grad": ("orpo_loss", orpo, counted(st.sampled_from([(.1,), (1.0,)]))),
    "pairs.f_dpo_grad": ("f_dpo_loss", f_dpo, chosen_rejected(2, st.sampled_from(
        [(.5, "reverse_kl"), (.5, "forward_kl"), (1.0, "jensen_shannon"), (.5, .25)]))),
    "pairs.kto_grad": ("kto_loss", kto, st.tuples(vectors(2, -3, 0), st.booleans()).map(
        lambda d: (*d[0], np.arange(len(d[0][0])) % 2 ^ d[1] == 0, .5, .25))),
    "pairs.reward_margin_grad": (
        "reward_margin_loss", reward_margin, chosen_rejected(1, st.sampled_from([(.5, .25), (0.0, 0.0)]))),
    "annotators.dawid_skene_grad": ("dawid_skene_loss", dawid_skene, st.tuples(
        arrays((2, 3, 3)), probs_of(3),
        st.lists(st.tuples(st.integers(0, 2), st.integers(-1, 2)), min_size=1, max_size=3))),
    "annotators.panel_grad": ("panel_loss", panel, st.tuples(arrays((3,)), WINS, st.sampled_from([1, 4, 9]))),
    "annotators.worth_grad": ("worth_loss", worth, st.tuples(arrays((2, 3)), arrays((3,)), WINS)),
    "distillation.distillation_grad": ("distillation_loss", distillation, st.tuples(
        arrays((2, 3)), st.tuples(probs_of(3), probs_of(3)).map(np.array), arrays((2,), eighths(0, 2)),
        st.sampled_from([0.0, .25, .5, 1.0]))),
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


@pytest.mark.both_backends
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

"""PPO on a transformer: advantages over tokens, the seeds of its loss, the kl_penaltys, what a step is on average.

By hand, an answer of three tokens behind a prompt of two, V = .5, 1, 2 before them, score 4, gamma 1, lambda 1/2:

    delta = 1 - .5, 2 - 1, 4 - 2 = .5, 1, 2         nothing follows the last token, cut or not
    A     = .5 + 2/2, 1 + 2/2, 2 = 1.5, 2, 2

With the KL in the reward, the values at 0 and lambda 1, the mean over all answers of N times the gradient is - grad J
for J = E[R] - beta KL(pi || ref); N is a minibatch's number of tokens, which the weights divide by.
"""
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import tiny_policy as tiny
from rlscratch import kernels
from rlscratch.autograd import functions as f
from rlscratch.formulas import returns
from rlscratch.formulas.kl import adaptive_beta
from rlscratch.optim import SGD, AdamW
from rlscratch.tasks.task import RewardError
from rlscratch.train.language import policy as path
from rlscratch.train.language import ppo
from rlscratch.train.language.chat import Rows
from rlscratch.train.language.method import Stages
from rlscratch.train.language.policy import Policy, copied, outputs
from rlscratch.train.language.ppo import KL_PENALTIES
from rlscratch.train.on_policy import MOST

SETTINGS = {"epochs": 1, "minibatches": 1, "clip": 0.2, "value_clip": 0.0, "value_weight": 0.1, "entropy": 0.0,
            "target_kl": 0.0, "max_norm": tiny.FREE}
STEP = {"batch": 8, "beta": 0.1, "kl_penalty": "k1-reward", "lam": 0.95, "whiten": False}


# ---------------------------------------------------------------- advantages

def sheet(cut=False):
    """The answer of the sheet, with two tokens of padding, and beside it one of a single token."""
    tokens = np.array([[2, 3, 0, 1, 1 if cut else 4, 5, 5], [2, 3, 4, 5, 5, 5, 5]])
    mask = np.array([[0, 0, 1, 1, 1, 0, 0], [0, 0, 1, 0, 0, 0, 0.0]])
    return Rows(tokens, mask, np.array([5, 3]))


@pytest.mark.parametrize("cut", [False, True])
def test_the_sheet_s_advantages_whether_the_answer_ended_or_was_cut(cut):
    rows = sheet(cut)
    values = np.array([[0, 0, 0.5, 1, 2, 0, 0], [0, 0, -1, 0, 0, 0, 0]])
    paid = ppo.on_the_last_token(rows, np.array([4.0, 3.0]))
    assert_array_equal(paid, [[0, 0, 0, 0, 4, 0, 0], [0, 0, 3, 0, 0, 0, 0]])
    A = ppo.advantages(rows, paid, values, 0.5)
    assert_array_equal(A, [[0, 0, 1.5, 2, 2, 0, 0], [0, 0, 4, 0, 0, 0, 0]])
    assert_array_equal(ppo.advantages(rows, paid, values, 0.0), [[0, 0, 0.5, 1, 2, 0, 0], [0, 0, 4, 0, 0, 0, 0]])
    assert_array_equal(ppo.advantages(rows, paid, values, 1.0), [[0, 0, 3.5, 3, 2, 0, 0], [0, 0, 4, 0, 0, 0, 0]])
    assert_array_equal(ppo.advantages(rows, paid, values.astype(np.float32), 0.5), A)


@given(seed=st.integers(0, 999), lam=st.sampled_from([0.0, 0.5, 0.95, 1.0]))
def test_neither_prompts_nor_padding_nor_neighbours_enter_an_advantage(seed, lam):
    rng, rows = np.random.default_rng(seed), sheet()
    paid, values = rows.mask * rng.standard_normal((2, 2, 7))
    A = ppo.advantages(rows, paid, values, lam)
    for i, (first, last) in enumerate([(2, 5), (2, 3)]):
        expected, following = np.zeros(7), 0.0
        for t in reversed(range(first, last)):
            after = values[i, t + 1] if t + 1 < last else 0.0
            following = expected[t] = paid[i, t] + after - values[i, t] + lam * following
        assert_allclose(A[i], expected, rtol=0, atol=1e-14)


def met(kl_penalty="k1-reward", whiten=False, beta=0.25, lam=0.9):
    """Experience of four answers by ppo.experience; policy, batch, reference, figures."""
    some = tiny.policy(longest=3, temperature=0.7, value_head=True)
    end = some.chat.end
    batch = tiny.batch(some, ["a", "bb", "", "a"], [[0, 1, end], [end], [1, 1, 1], [2, end]])
    reference = tiny.policy(longest=3, seed=7).model
    found, figures = ppo.experience(some, reference, batch, np.array([1.0, -1, 0.5, 2]), beta=beta,
                                    kl_penalty=kl_penalty, lam=lam, whiten=whiten)
    return found, some, batch, reference, figures


@pytest.mark.parametrize("kl_penalty", list(KL_PENALTIES))
def test_experience_is_what_the_models_say_of_the_answers(kl_penalty):
    found, some, batch, reference, figures = met(kl_penalty)
    ref = outputs(reference, batch.rows, 0.7)["logp"]
    values = outputs(some.model, batch.rows, 0.7, ["value"])["value"]
    kl = batch.logp - ref
    paid = ppo.on_the_last_token(batch.rows, np.array([1.0, -1, 0.5, 2])) - 0.25 * kl * (kl_penalty == "k1-reward")
    A = ppo.advantages(batch.rows, paid, values, 0.9)
    expected = {"logp_old": batch.logp, "logp_ref": ref, "values_old": values, "advantage": A,
                "value_target": A + values}
    for name, array in expected.items():
        assert_allclose(getattr(found, name), array, rtol=1e-12, atol=1e-15, err_msg=name)
    assert figures["kl"] == pytest.approx(kl.sum() / 4) and figures["reward"] == 0.625 and figures["cut"] == 0.25
    assert figures["tokens"] == 9 and figures["answer_length"] == 2.25 and figures["ratio_deviation"] < 1e-12


def test_the_critic_aims_at_returns_that_are_not_white():
    plain, white = met()[0], met(whiten=True)[0]
    assert_array_equal(white.value_target, plain.value_target)
    assert_allclose(white.advantage, returns.whitened(plain.advantage, plain.rows.mask, ddof=0), rtol=1e-12)


def test_some_of_the_experience_is_that_of_the_same_answers():
    found = met()[0]
    some = found.at(np.array([1, 3]))
    width = some.rows.tokens.shape[1]
    assert width == found.rows.lengths[[1, 3]].max() < found.rows.tokens.shape[1]
    for name in ("logp_old", "logp_ref", "advantage", "values_old", "value_target"):
        assert_array_equal(getattr(some, name), getattr(found, name)[[1, 3], :width])


# ---------------------------------------------------------------- gradients, against the graph

def off_policy():
    """Experience of an older policy: ratios and values on either side of every kink, some just beyond .8 and 1.2."""
    found, some, *_ = met()
    mask, d, A = found.rows.mask, np.zeros(found.rows.mask.shape), np.zeros(found.rows.mask.shape)
    d[mask == 1] = [0.23, -0.24, 0.1, -0.1, 0.5, -0.5, 0.23, -0.24, 0.02]
    A[mask == 1] = [1, -1, 0.5, -0.5, 1, 1, -1, 1, 2]
    return some, replace(found, logp_old=found.logp_old - d, advantage=A,
                         values_old=tiny.perturbed(found.values_old, mask, 3),
                         value_target=mask * np.random.default_rng(1).standard_normal(mask.shape))


def learned(at_once=None, change=lambda found: found, kl_penalty="k1-reward", beta=0.3, **settings):
    some, found = off_policy()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(path, "AT_ONCE", at_once or path.AT_ONCE)
        figures = ppo.learn(some, tiny.still(some.model), change(found), np.random.default_rng(0),
                            kl_penalty=kl_penalty, beta=beta, **SETTINGS | settings)
    return tiny.gradients(some.model), figures


def composed(kl_penalty="k1-reward", beta=0.3, clip=0.2, value_clip=0.0, value_weight=0.1, entropy=0.0):
    """The loss written on the graph: surrogate, critic, penalty, bonus, with values read where token t - 1 stands."""
    some, e = off_policy()
    mask, hidden = e.rows.mask, some.model.hidden(e.rows.tokens)
    w = mask / mask.sum()
    logp, H = some.model.logp(e.rows.tokens, 0.7, hidden, entropy=True)
    ratio = f.exp((logp - e.logp_old) * mask)
    surrogate = f.minimum(ratio * e.advantage, f.minimum(f.maximum(ratio, 1 - clip), 1 + clip) * e.advantage)
    value, old, target = some.model.value(hidden)[:, :-1], e.values_old[:, 1:], e.value_target[:, 1:]
    squares = (value - target) * (value - target)
    if value_clip:
        near = f.minimum(f.maximum(value, old - value_clip), old + value_clip) - target
        squares = f.maximum(squares, near * near)
    loss = f.sum(surrogate * w) * -1.0 + f.sum(squares * w[:, 1:]) * (value_weight / 2) - f.sum(H * w) * entropy
    d = (logp - e.logp_ref) * mask
    if kl_penalty == "k2-loss":
        loss = loss + f.sum(d * d * w) * (beta / 2)
    elif kl_penalty == "k3-loss":
        loss = loss + f.sum((f.exp(d * -1.0) - 1.0 + d) * w) * beta
    return tiny.by_graph(some.model, loss)


@pytest.mark.parametrize("at_once", [None, 3, 1])
@pytest.mark.parametrize("settings", [
    *({"kl_penalty": name} for name in KL_PENALTIES), {"value_clip": 0.2}, {"value_weight": 0.0}, {"entropy": 0.5},
    {"clip": 0.05}, {"kl_penalty": "k2-loss", "value_clip": 0.1, "entropy": 0.2, "value_weight": 2.0}], ids=str)
def test_a_minibatch_s_gradient_is_that_of_the_loss_on_the_graph(settings, at_once):
    gradient, figures = learned(at_once, **settings)
    assert_allclose(gradient, composed(**settings), rtol=1e-9, atol=1e-13)
    assert figures == pytest.approx(learned(**settings)[1], rel=1e-12) and 0 < figures["clip_fraction"] < 1


def test_the_settings_of_that_test_all_make_a_difference():
    first = {"kl_penalty": "k2-loss", "value_clip": 0.2, "entropy": 0.5}
    for other in ({"kl_penalty": "k3-loss"}, {"beta": 0.0}, {"value_clip": 0.0}, {"entropy": -0.5}, {"clip": 0.3},
                  {"value_weight": 0.2}):
        assert not np.allclose(composed(**first), composed(**first | other), rtol=1e-4)


@pytest.mark.parametrize("planted", ["value seed", "weights for each answer", "sign of the bonus", "old is ref",
                                     "targets and values"])
def test_errors_planted_in_the_loss_would_be_seen(planted, monkeypatch):
    settings, change = {"kl_penalty": "k3-loss", "entropy": 0.3, "value_clip": 0.1}, lambda found: found
    expected = composed(**settings)
    if planted == "value seed":
        monkeypatch.setattr(path, "delayed", lambda head: head)
    elif planted == "weights for each answer":
        monkeypatch.setattr(ppo.weights, "token_mean", ppo.weights.sequence_mean)
    elif planted == "sign of the bonus":
        settings["entropy"] = -0.3
    elif planted == "old is ref":
        def change(found):
            return replace(found, logp_old=found.logp_ref)
    else:
        def change(found):
            return replace(found, value_target=found.values_old, values_old=found.value_target)
    assert not np.allclose(learned(change=change, **settings)[0], expected, rtol=1e-4)


# ---------------------------------------------------------------- expectations, by enumeration

def enumerated(kl_penalty, temperature, worth, beta=0.5, lam=1.0):
    """The mean over all answers of N times a step's gradient, values 0 and held; policy, reference, batch, rewards."""
    some = tiny.policy(temperature=temperature, value_head=True)
    for name in ("score.weight", "score.bias"):
        some.model.parameters()[name].data[...] = 0
    reference = tiny.policy(seed=7).model
    batch, probs = tiny.everything(some)
    R = worth * np.random.default_rng(3).integers(-8, 9, len(batch)) / 8
    mean, optimizer = 0, tiny.still(some.model)
    for i, p in enumerate(probs):
        optimizer.zero_grad()
        one = batch.at(np.array([i]))
        figures = ppo.step(tiny.scripted(some, one), reference, optimizer, lambda found, i=i: R[i:i + 1], ["a"],
                           np.random.default_rng(0), **SETTINGS | {"value_weight": 0.0},
                           **STEP | {"batch": 1, "beta": beta, "kl_penalty": kl_penalty, "lam": lam})
        mean = mean + p * figures["tokens"] * tiny.gradients(some.model)
    return mean, some, reference, batch, R


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_the_mean_step_with_the_kl_in_the_reward_is_the_gradient_of_the_penalised_objective(temperature):
    mean, some, reference, batch, R = enumerated("k1-reward", temperature, 1.0)
    ref = outputs(reference, batch.rows, temperature)["logp"].sum(axis=1)
    p = tiny.probabilities(some, batch)
    slope = tiny.by_graph(some.model, f.sum(p * R) - f.sum(p * (f.log(p) - ref)) * 0.5)
    assert_allclose(mean, -slope, rtol=1e-9, atol=1e-12)
    assert np.abs(slope).max() > 0.01 and not np.allclose(mean, -1.001 * slope, rtol=1e-5)


def test_with_lambda_below_1_and_no_values_the_mean_is_another():
    mean, some, _, batch, R = enumerated("k1-reward", 1.0, 1.0, beta=0.0, lam=0.5)
    slope = tiny.by_graph(some.model, f.sum(tiny.probabilities(some, batch) * R))
    assert not np.allclose(mean, -slope, rtol=1e-2)


@pytest.mark.parametrize("kl_penalty", ["k2-loss", "k3-loss"])
def test_in_the_loss_a_token_answers_for_its_own_kl_what_stands_before_it_held_fixed(kl_penalty):
    mean, some, reference, batch, _ = enumerated(kl_penalty, 0.7, 0.0)
    tokens, mask = batch.rows.tokens, batch.rows.mask
    weight = np.exp(batch.logp.sum(axis=1, keepdims=True)) * mask              # how likely its beginning is: data
    pi, ref = (f.log_softmax(model(tokens), 0.7)[:, :-1] for model in (some.model, reference))
    ref = ref.data
    kl = f.exp(pi) * (pi - ref) if kl_penalty == "k2-loss" else np.exp(ref) * (ref - pi)
    slope = tiny.by_graph(some.model, f.sum(f.sum(kl, axis=-1) * weight[:, 1:]) * 0.5)
    assert_allclose(mean, slope, rtol=1e-9, atol=1e-12)


# ---------------------------------------------------------------- epochs, kl_penaltys

def epochs(some=None, **settings):
    policy, found = off_policy()
    some = some or policy
    return ppo.learn(some, AdamW(some.model.parameters(), 0.05), found, np.random.default_rng(0),
                     kl_penalty="k1-reward", beta=0.0, **SETTINGS | settings)


def drift(some, found):
    """k3 of KL(pi_old || pi), the mean over tokens."""
    d = some.logp(found.rows) - found.logp_old
    return ((np.expm1(d) - d) * found.rows.mask).sum() / found.rows.mask.sum()


def test_no_epoch_follows_one_whose_kl_from_the_old_policy_exceeds_the_target():
    assert epochs(epochs=4)["epochs_made"] == 4
    kl = epochs()["kl_from_old"]
    assert kl > 0 and epochs(epochs=4, target_kl=0.99 * kl)["epochs_made"] == 1
    assert epochs(epochs=2, target_kl=1.01 * kl)["epochs_made"] == 2


def test_the_kl_from_the_old_policy_is_a_mean_over_tokens_and_0_on_the_first_step():
    found, some, *_ = met()
    begun = ppo.learn(some, tiny.still(some.model), found, np.random.default_rng(0), kl_penalty="k1-reward", beta=0.0,
                      **SETTINGS)
    assert abs(begun["kl_from_old"]) < 1e-12 and begun["clip_fraction"] == 0
    some, found = off_policy()
    expected = drift(some, found)
    for minibatches in (1, 2, 4, 9):
        figures = ppo.learn(some, tiny.still(some.model), found, np.random.default_rng(0), kl_penalty="k1-reward",
                            beta=0.0, **SETTINGS | {"minibatches": minibatches})
        assert figures["kl_from_old"] == pytest.approx(expected, rel=1e-9)


def test_the_kl_from_the_old_policy_is_that_of_the_last_epoch():
    some, found = off_policy()
    epochs(some)
    after = drift(some, found)
    assert epochs(epochs=2)["kl_from_old"] == pytest.approx(after, rel=1e-9)


def test_beta_follows_its_target_by_at_most_four_percent():
    assert adaptive_beta(0.5, 3.3, 3.0, 0.2) == pytest.approx(0.5 * 1.02)
    assert adaptive_beta(1.0, 100.0, 2.0, ppo.GAIN) == 1.04


# ---------------------------------------------------------------- steps

def stepped(*, dtype=np.float64, lr=0.01, **options):
    some = tiny.policy("abc", value_head=True, dtype=dtype)
    reference = tiny.policy("abc", seed=7, dtype=dtype).model
    figures = ppo.step(some, reference, AdamW(some.model.parameters(), lr), lambda batch: [
        len(text) / 8 for text in batch.texts], ["a", "b", "c"], np.random.default_rng(5), **STEP | SETTINGS | options)
    return some.model, figures


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_same_seed_makes_the_same_step_whatever_the_threads(dtype):
    before, found = kernels.threads(), []
    try:
        for threads in (1, 2):
            kernels.set_threads(threads)
            found.append(stepped(dtype=dtype, epochs=2, minibatches=3, entropy=0.1, whiten=True))
    finally:
        kernels.set_threads(before)
    assert found[0][1] == found[1][1]
    for one, other in zip(*(model.parameters().values() for model, _ in found), strict=True):
        assert one.dtype == dtype
        assert_array_equal(one.data, other.data)


def test_a_batch_of_one_token_can_be_whitened():
    some = tiny.policy(longest=1, value_head=True)
    figures = ppo.step(some, some.model, AdamW(some.model.parameters(), 0.01), lambda batch: [1.0], ["a"],
                       np.random.default_rng(0), **STEP | {"batch": 1, "whiten": True}, **SETTINGS)
    assert figures["tokens"] == 1 and figures["epochs_made"] == 1


def test_answers_of_another_policy_stop_the_step_before_it_changes_anything():
    _, some, batch, reference, _ = met()
    before = some.model.parameters()["wte.weight"].data.copy()
    actor = tiny.scripted(replace(some, temperature=1.0), batch.at(np.array([0])))
    with pytest.raises(RuntimeError, match=r"before the update a ratio is .* away from 1"):
        ppo.step(actor, reference, SGD(some.model.parameters(), 1.0), lambda found: [1.0], ["a"],
                 np.random.default_rng(0), **STEP | {"batch": 1}, **SETTINGS)
    assert_array_equal(some.model.parameters()["wte.weight"].data, before)


@pytest.mark.parametrize(("changes", "error", "message"), [
    ({"batch": 0}, ValueError, "batch is 0; expected an integer >= 1"), ({"epochs": 0}, ValueError, "epochs is 0"),
    ({"minibatches": 0}, ValueError, "minibatches is 0"), ({"beta": -1}, ValueError, "beta is -1; expected"),
    ({"lam": 1.5}, ValueError, r"lam is 1.5; expected a number in \[0, 1\]"),
    ({"clip": -0.1}, ValueError, "clip is -0.1; expected"),
    ({"kl_penalty": "k2-reward"}, ValueError, "kl_penalty is 'k2-reward'; expected one of 'k1-reward', 'k2-loss'"),
    ({"whiten": 1}, ValueError, "whiten is 1; expected one of False, True"),
    ({"entropy": np.nan}, ValueError, "entropy is nan"), ({"value_clip": -1}, ValueError, "value_clip is -1"),
    ({"prompts": []}, ValueError, r"prompts is \[\]; expected at least one text"),
    ({"score": lambda batch: [1.0]}, RewardError, r"the rewards have the shape \(1,\); expected the shape \(8,\)"),
    ({"score": lambda batch: [np.inf] * 8}, RewardError, "the reward of the answer .* to the prompt 'a' is inf"),
    ({"headless": True}, ValueError, "value_head is False; expected True"),
])
def test_bad_arguments_are_named_before_anything_is_learned(changes, error, message):
    some = tiny.policy(value_head=not changes.pop("headless", False))
    before = some.model.parameters()["wte.weight"].data.copy()
    given = {"score": lambda batch: range(len(batch)), "prompts": ["a"], **STEP, **SETTINGS} | changes
    with pytest.raises(error, match=message):
        ppo.step(some, some.model, SGD(some.model.parameters(), 1.0), rng=np.random.default_rng(0), **given)
    assert_array_equal(some.model.parameters()["wte.weight"].data, before)


# ---------------------------------------------------------------- learning

OTHERS = pytest.mark.compiled_only("one penalty is trained with on NumPy, too")


@pytest.fixture(scope="module")
def taught():
    """The teacher's pupil; whoever trains it on takes a copy."""
    return tiny.taught(value_head=True)


@pytest.mark.parametrize("kl_penalty", [pytest.param(name, marks=OTHERS if i else ()) for i, name in
                                        enumerate(KL_PENALTIES)])
def test_ppo_goes_beyond_the_teacher_that_it_began_with(kl_penalty, taught):
    some, rng = taught.with_model(copied(taught.model)), np.random.default_rng(0)
    reference, optimizer, asked = copied(some.model), tiny.fast(some), list("abc") * 50
    assert 0.2 < np.mean(tiny.right(some.answer(asked, rng))) < 0.6
    for _ in range(25):
        figures = ppo.step(some, reference, optimizer, tiny.right, ["a", "b", "c"] * 16, rng, **STEP | SETTINGS | {
            "batch": 48, "beta": 0.02, "kl_penalty": kl_penalty, "epochs": 2, "minibatches": 2, "max_norm": 1.0})
    assert figures["ratio_deviation"] < MOST / 100
    assert np.mean(tiny.right(some.answer(asked, rng))) > 0.95


def begun(**chosen):
    """A learner of the method on a text task, with where it began, and the figures of its steps."""
    world = tiny.world()
    chat = world.chat()
    stages = Stages(Policy(world.model(chat), chat, world.recipe.max_new_tokens))
    history = list(ppo.METHOD.learn(world, stages, 3, **{"batch": 4, "lr": 0.02} | chosen))
    return history[-1][0], stages, [figures for _, figures in history]


def test_the_method_trains_a_copy_with_a_head_and_measures_it_from_where_it_began():
    learner, stages, history = begun()
    assert learner.model.config.value_head and not stages.policy.model.config.value_head
    fresh = tiny.world().model(learner.chat)
    for name, parameter in stages.policy.model.parameters().items():
        assert_array_equal(parameter.data, fresh.parameters()[name].data)
    assert abs(history[0]["kl"]) < 1e-3 < abs(history[-1]["kl"])
    assert np.isfinite(list(learner.report().values())).all()


def test_beta_stays_or_follows_the_kl():
    assert {figures["beta"] for figures in begun(kl_target=0.0, beta=0.25)[2]} == {0.25}
    learner, _, history = begun(kl_target=1e-3, beta=0.25)
    betas = [figures["beta"] for figures in history] + [learner.facts["beta"]]
    for before, after, figures in zip(betas, betas[1:], history, strict=False):
        assert after == adaptive_beta(before, figures["kl"], 1e-3, ppo.GAIN)
    assert betas[-1] != betas[0] == 0.25


@pytest.mark.parametrize(("chosen", "message"), [
    ({"kl_target": 1.0, "beta": 0.0}, "beta with a kl_target is 0.0; expected a finite number > 0"),
    ({"kl_penalty": "k1"}, "kl_penalty is 'k1'; expected one of 'k1-reward', 'k2-loss', 'k3-loss'"),
    ({"batch": 0}, "batch is 0"), ({"lam": 2.0}, "lam is 2.0"), ({"temperature": 0.0}, "temperature is 0.0"),
])
def test_bad_settings_are_named_before_any_training(chosen, message):
    with pytest.raises(ValueError, match=message):
        begun(**chosen)

"""The optimisers against their equations written out with Python's numbers, one parameter entry at a time.

By pencil, AdamW at p = 1, g = 2, eta = .1, lambda = .01, first step: m / (1 - beta1) = 2, sqrt(v / (1 - beta2)) = 2,
so p <- 1 (1 - .001) - .1 * 2 / 2 = .899.
"""
import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from rlscratch.autograd import Tensor
from rlscratch.optim import SGD, AdamW, clip_grad_norm, warmup_cosine
from strategies import arrays, eighths


def leaf(values, dtype=np.float64):
    return Tensor(np.array(values, dtype), requires_grad=True)


def model(dtype=np.float64, seed=0):
    """Matrices, vectors and a scalar, as a dict of parameters."""
    rng = np.random.default_rng(seed)
    return {name: leaf(rng.normal(size=shape), dtype)
            for name, shape in (("matrix", (5, 7)), ("bias", (7,)), ("scale", ()), ("table", (3, 4)))}


def gradients(step, parameters):
    """Some gradients, different at every step."""
    return {name: np.random.default_rng([step, i]).normal(size=t.shape).astype(t.dtype)
            for i, (name, t) in enumerate(parameters.items())}


def hand_over(parameters, given):
    """As backward would: into .grad."""
    for name, t in parameters.items():
        if name in given:
            (t * given[name]).backward(np.ones(t.shape))


# ---------------------------------------------------------------- the equations, entry by entry

def adamw_by_hand(p, gs, lr, beta1, beta2, eps, decay):
    m = v = 0.0
    for t, g in enumerate(gs, 1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        p = p * (1 - lr * decay) - lr * (m / (1 - beta1 ** t)) / (math.sqrt(v / (1 - beta2 ** t)) + eps)
    return p


def sgd_by_hand(p, gs, lr, momentum, decay):
    b = 0.0
    for g in gs:
        b = momentum * b + g + decay * p
        p = p - lr * b
    return p


def test_the_pencil_s_step():
    p = leaf([1.0])
    optimizer = AdamW([p], lr=0.1)
    hand_over({"0": p}, {"0": np.array([2.0])})
    optimizer.step()
    assert_allclose(p.data, [0.899], rtol=1e-8)


@pytest.mark.parametrize(("dtype", "rtol"), [(np.float64, 1e-10), (np.float32, 2e-3)])
def test_adamw_over_1000_steps(dtype, rtol):
    parameters = model(dtype)
    start = {name: t.data.astype(float) for name, t in parameters.items()}
    optimizer = AdamW(parameters, lr=0.003, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.1)
    seen = {name: [] for name in parameters}
    for step in range(1000):
        given = gradients(step, parameters)
        for name, t in parameters.items():
            t.grad = given[name]                             # arrays of one's own are taken in
            seen[name].append(given[name].astype(float))
        optimizer.step()
        optimizer.zero_grad()
    for name, t in parameters.items():
        assert t.dtype == dtype
        for place in np.ndindex(t.shape):
            by_hand = adamw_by_hand(start[name][place], [g[place] for g in seen[name]], 0.003, 0.8, 0.95, 1e-6, 0.1)
            assert_allclose(t.data[place], by_hand, rtol=rtol, atol=rtol / 10)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_sgd_over_50_steps(momentum, decay):
    parameters = model()
    start = {name: t.data.copy() for name, t in parameters.items()}
    optimizer = SGD(parameters, lr=0.05, momentum=momentum, weight_decay=decay)
    for step in range(50):
        hand_over(parameters, gradients(step, parameters))
        optimizer.step()
        optimizer.zero_grad()
    for name, t in parameters.items():
        for place in np.ndindex(t.shape):
            gs = [gradients(step, parameters)[name][place] for step in range(50)]
            assert_allclose(t.data[place], sgd_by_hand(start[name][place], gs, 0.05, momentum, decay), rtol=1e-11)


@given(arrays((3,), eighths(-4, 4)).filter(lambda g: (g != 0).all()), st.integers(-20, 20))
@example(np.array([1.0, -2.0, 4.0]), 10)
def test_the_scale_of_the_gradient_does_not_matter_to_adamw(g, power):
    def run(scale):
        p = leaf([1.0, 2.0, 3.0])
        optimizer = AdamW([p], lr=0.1, eps=1e-300, weight_decay=0.0)
        for step in range(3):
            p.grad = g * scale * (1 + step)
            optimizer.step()
        return p.data

    assert_allclose(run(2.0 ** power), run(1.0), rtol=1e-12)


def test_planted_errors_would_be_seen():
    right = adamw_by_hand(1.0, [2.0, -1.0, 0.5], 0.1, 0.9, 0.999, 1e-8, 0.01)
    p = leaf([1.0])
    optimizer = AdamW([p], lr=0.1)
    for g in (2.0, -1.0, 0.5):
        p.grad = np.array([g])
        optimizer.step()
    assert_allclose(p.data, right, rtol=1e-12)
    for wrong in (dict(beta1=0.999, beta2=0.9), dict(decay=0.0), dict(decay=0.02), dict(eps=1e-4)):
        settings = {"lr": 0.1, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "decay": 0.01, **wrong}
        assert abs(adamw_by_hand(1.0, [2.0, -1.0, 0.5], **settings) - right) > 1e-7


# ---------------------------------------------------------------- decay, missing gradients, the schedule's place

def test_decay_is_for_whom_the_predicate_chooses():
    parameters = model()
    start = {name: t.data.copy() for name, t in parameters.items()}
    optimizer = AdamW(parameters, lr=0.5, weight_decay=0.1, decay=lambda name, t: t.ndim > 1)
    for t in parameters.values():
        t.grad = np.zeros(t.shape)
    optimizer.step()
    for name, t in parameters.items():
        assert_array_equal(t.data, start[name] * (0.95 if name in ("matrix", "table") else 1))


def test_all_decay_by_default_as_in_pytorch():
    p = leaf([2.0])
    optimizer = AdamW([p], lr=0.5)
    p.grad = np.zeros(1)
    optimizer.step()
    assert_allclose(p.data, [2 * (1 - 0.5 * 0.01)])


@pytest.mark.parametrize("missing", [["bias"], ["matrix"], ["table", "scale"]])
def test_a_parameter_without_a_gradient_is_left_alone_with_its_step_count(missing):
    some, all_ = model(), model()
    optimizer, reference = AdamW(some, lr=0.1), AdamW(all_, lr=0.1)
    for step in range(3):
        given = gradients(step, some)
        hand_over(some, {name: g for name, g in given.items() if name not in missing or step != 1})
        hand_over(all_, given)
        before = {name: some[name].data.copy() for name in missing}
        optimizer.step()
        reference.step()
        if step == 1:
            for name in missing:
                assert_array_equal(some[name].data, before[name])
        optimizer.zero_grad()
        reference.zero_grad()
    for name in set(some) - set(missing):
        assert_array_equal(some[name].data, all_[name].data)
    for name in missing:
        alone = leaf(model()[name].data)
        single = AdamW([alone], lr=0.1)
        for step in (0, 2):                                  # its two steps, as numbers 1 and 2
            alone.grad = gradients(step, some)[name]
            single.step()
        assert_allclose(some[name].data, alone.data, rtol=1e-13)


def test_the_learning_rate_may_change_between_steps():
    p = leaf([1.0])
    optimizer = SGD([p], lr=0.0)
    for lr in (0.5, 0.25):
        p.grad = np.ones(1)
        optimizer.lr = lr
        optimizer.step()
    assert p.data.tolist() == [0.25]
    optimizer.lr = -1.0
    with pytest.raises(ValueError, match=r"lr is -1\.0; expected a finite number >= 0"):
        optimizer.step()


# ---------------------------------------------------------------- flat buffers

def test_parameters_keep_their_values_and_become_views_of_one_array():
    parameters = model()
    before = {name: t.data.copy() for name, t in parameters.items()}
    AdamW(parameters, lr=0.1)
    owners = {id(t.data.base) for t in parameters.values()}
    assert len(owners) == 1
    for name, t in parameters.items():
        assert_array_equal(t.data, before[name])
        assert t.data.flags.c_contiguous and t.data.ctypes.data % 64 == 0
    held = [t.data for t in parameters.values()]
    for i, a in enumerate(held):
        assert not any(np.shares_memory(a, b) for b in held[i + 1:])


def test_backward_writes_into_the_flat_gradient_and_zero_grad_forgets_it():
    parameters = model()
    optimizer = AdamW(parameters, lr=0.1)
    for _ in range(2):
        hand_over(parameters, gradients(0, parameters))
        assert len({id(t.grad.base) for t in parameters.values()}) == 1
        hand_over(parameters, gradients(1, parameters))      # a second backward adds
        assert len(optimizer.gradients()) == 1
        for name, t in parameters.items():
            assert_array_equal(t.grad, gradients(0, parameters)[name] + gradients(1, parameters)[name])
            assert np.shares_memory(t.grad, optimizer.gradients()[0])
        optimizer.zero_grad()
        assert all(t.grad is None for t in parameters.values())
    assert optimizer.gradients() == []


def test_data_that_was_assigned_is_taken_in():
    p = leaf([1.0, 2.0])
    optimizer = SGD([p], lr=1.0)
    p.data = np.array([5.0, 6.0])
    p.grad = np.array([1.0, 1.0])
    optimizer.step()
    assert p.data.tolist() == [4, 5]
    p.data = np.ones(3)
    with pytest.raises(ValueError, match=r"the shape of data of 0 is \(3,\); expected \(2,\)"):
        optimizer.step()


def test_two_dtypes_live_side_by_side():
    parameters = {"a": leaf([1.0], np.float32), "b": leaf([1.0], np.float64)}
    optimizer = AdamW(parameters, lr=0.25, weight_decay=0.0)
    hand_over(parameters, {"a": np.float32([3]), "b": np.array([3.0])})
    optimizer.step()
    assert parameters["a"].dtype == np.float32
    assert_allclose([t.data[0] for t in parameters.values()], [0.75, 0.75], rtol=1e-7)


def test_a_parameter_changed_by_a_step_before_backward_is_noticed():
    p = leaf([1.0, 2.0])
    optimizer = SGD([p], lr=0.1)
    y = p * p
    p.grad = np.ones(2)
    optimizer.step()
    with pytest.raises(ValueError, match="has changed since it was saved"):
        y.backward([1.0, 1.0])


# ---------------------------------------------------------------- state

@pytest.mark.parametrize("make", [lambda p: AdamW(p, lr=0.1, betas=(0.8, 0.9), weight_decay=0.05),
                                  lambda p: SGD(p, lr=0.1, momentum=0.9), lambda p: SGD(p, lr=0.1)])
def test_a_run_continued_from_its_state_is_the_same_run(make):
    def steps(parameters, optimizer, first, last):
        for step in range(first, last):
            hand_over(parameters, gradients(step, parameters))
            optimizer.step()
            optimizer.zero_grad()

    whole, part = model(), model()
    optimizer = make(whole)
    steps(whole, optimizer, 0, 6)
    first = make(part)
    steps(part, first, 0, 3)
    state = first.state_dict()
    resumed = {name: leaf(t.data) for name, t in part.items()}
    second = make(resumed)
    second.lr = 99.0                                         # the state brings its own
    steps(part, first, 3, 4)                                 # the state is a copy: the first run goes on alone
    second.load_state_dict(state)
    steps(resumed, second, 3, 6)
    for name in whole:
        assert_array_equal(resumed[name].data, whole[name].data)


def test_a_state_of_other_parameters_is_refused_and_changes_nothing():
    parameters = model()
    optimizer = AdamW(parameters, lr=0.1)
    hand_over(parameters, gradients(0, parameters))
    optimizer.step()
    before = optimizer.state_dict()
    state = optimizer.state_dict()
    state["m"]["bias"] = np.zeros(3)
    state["m"]["matrix"] += 1
    with pytest.raises(ValueError, match=r"the shape of state\['m'\]\['bias'\] is \(3,\); expected \(7,\), like bias"):
        optimizer.load_state_dict(state)
    state = optimizer.state_dict()
    del state["v"]["bias"]
    with pytest.raises(ValueError, match=r"the names in state\['v'\]"):
        optimizer.load_state_dict(state)
    with pytest.raises(ValueError, match="the keys of state is"):
        optimizer.load_state_dict(SGD(model(), lr=0.1).state_dict())
    assert_array_equal(optimizer.state_dict()["m"]["matrix"], before["m"]["matrix"])


# ---------------------------------------------------------------- clipping

def with_gradients(*values):
    parameters = [leaf(np.zeros(np.shape(v))) for v in values]
    for t, v in zip(parameters, values, strict=True):
        t.grad = np.array(v, dtype=float)
    return parameters


@pytest.mark.parametrize("optimizer", [False, True])
def test_clipping_keeps_the_direction_and_returns_the_norm_before(optimizer):
    parameters = with_gradients([[3.0, 0.0]], [0.0, 4.0], 12.0)
    norm = clip_grad_norm(SGD(parameters, lr=1.0) if optimizer else parameters, 6.5)
    assert norm == 13
    assert_allclose([*parameters[0].grad.ravel(), *parameters[1].grad, parameters[2].grad], [1.5, 0, 0, 2, 6])


@given(arrays((4,), eighths()), st.integers(1, 40).map(lambda k: k / 8))
@example(np.zeros(4), 1.0)
@example(np.array([3.0, 4.0, 0, 0]), 5.0)
def test_after_clipping_the_norm_is_the_smaller_of_both(g, limit):
    parameters = with_gradients(g[:1], g[1:])
    norm = clip_grad_norm(parameters, limit)
    assert_allclose(norm, np.linalg.norm(g), atol=1e-15)
    after = np.concatenate([t.grad for t in parameters])
    assert_allclose(np.linalg.norm(after), min(norm, limit), rtol=1e-14)
    if norm <= limit:
        assert_array_equal(after, g)


def test_pytorch_s_epsilon_is_a_choice_that_shows():
    ours, torchs = with_gradients([3.0, 4.0]), with_gradients([3.0, 4.0])
    clip_grad_norm(ours, 1.0)
    clip_grad_norm(torchs, 1.0, eps=1e-6)
    assert_allclose(torchs[0].grad, ours[0].grad * 5 / (5 + 1e-6), rtol=1e-15)


def test_parameters_without_gradients_count_as_0():
    assert clip_grad_norm([leaf([1.0])], 1.0) == 0
    assert clip_grad_norm({"a": leaf([1.0]), "b": with_gradients([2.0])[0]}, 1.0) == 2


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_norm_that_is_not_finite_is_an_error_and_changes_nothing(bad):
    parameters = with_gradients([3.0], [bad])
    with pytest.raises(ValueError, match=r"the norm of the gradients is (nan|inf); expected a finite number"):
        clip_grad_norm(parameters, 1.0)
    assert parameters[0].grad.tolist() == [3]


@pytest.mark.parametrize("scale", [1e200, 1e154, 1e-170, 1e-310])
def test_a_norm_whose_square_is_no_float_is_a_norm_all_the_same(scale):
    parameters = with_gradients([3 * scale, 0.0], [4 * scale])
    assert_allclose(clip_grad_norm(parameters, 1e-2 * scale), 5 * scale, rtol=1e-12)
    assert_allclose([*parameters[0].grad, *parameters[1].grad], [6e-3 * scale, 0, 8e-3 * scale], rtol=1e-12)


# ---------------------------------------------------------------- the schedule

def test_the_schedule_s_corners():
    at = {t: warmup_cosine(t, 3.0, 1.0, 10, 110) for t in (0, 5, 10, 60, 110, 10_000)}
    assert at == pytest.approx({0: 0, 5: 1.5, 10: 3, 60: 2, 110: 1, 10_000: 1}, rel=1e-15)
    assert warmup_cosine(0, 3.0, 1.0, 0, 5) == 3
    assert warmup_cosine(4, 3.0, 1.0, 5, 5) == 3 * 4 / 5
    assert warmup_cosine(5, 3.0, 1.0, 5, 5) == 1


@given(st.integers(0, 20), st.integers(1, 50))
def test_it_rises_then_falls_within_its_bounds(warmup, more):
    rates = [warmup_cosine(t, 1.0, 0.125, warmup, warmup + more) for t in range(warmup + more + 3)]
    assert np.all(np.diff(rates[: warmup + 1]) > 0)
    assert np.all(np.diff(rates[warmup:]) <= 0)
    assert max(rates) == 1
    assert rates[-1] == rates[warmup + more] == 0.125
    middle = np.array(rates[warmup: warmup + more + 1])
    assert_allclose(middle + middle[::-1], 1.125)            # the cosine is symmetric about its middle


# ---------------------------------------------------------------- bad calls

ONE = leaf([1.0])


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: AdamW([], lr=0.1), ValueError, "parameters is .*; expected at least one Tensor"),
    (lambda: AdamW([np.ones(1)], lr=0.1), TypeError, r"parameters\['0'\] is .*; expected a Tensor with requires_grad"),
    (lambda: AdamW([Tensor([1.0])], lr=0.1), TypeError, r"parameters\['0'\] is Tensor"),
    (lambda: AdamW({"a": ONE, "b": ONE}, lr=0.1), ValueError, r"parameters\['b'\] is \"the same Tensor as 'a'\""),
    (lambda: AdamW([ONE], lr=-1), ValueError, "lr is -1; expected a finite number >= 0"),
    (lambda: AdamW([ONE], lr=0.1, betas=(1.0, 0.9)), ValueError, r"beta1 is 1.0; expected a number in \[0, 1\)"),
    (lambda: AdamW([ONE], lr=0.1, betas=(0.9, -0.1)), ValueError, "beta2 is -0.1"),
    (lambda: AdamW([ONE], lr=0.1, eps=0), ValueError, "eps is 0; expected a finite number > 0"),
    (lambda: AdamW([ONE], lr=0.1, weight_decay=-0.1), ValueError, "weight_decay is -0.1"),
    (lambda: SGD([ONE], lr=0.1, momentum=1.0), ValueError, "momentum is 1.0"),
    (lambda: SGD([ONE], lr="fast"), TypeError, "lr is 'fast'"),
    (lambda: clip_grad_norm([ONE], 0.0), ValueError, "max_norm is 0.0; expected a finite number > 0"),
    (lambda: warmup_cosine(-1, 1.0, 0.0, 1, 2), ValueError, "step is -1"),
    (lambda: warmup_cosine(1.5, 1.0, 0.0, 1, 2), TypeError, "step is 1.5"),
    (lambda: warmup_cosine(1, 1.0, 0.0, 3, 2), ValueError, r"warmup is 3; expected an integer in \[0, 2\]"),
    (lambda: warmup_cosine(1, 1.0, 0.0, 0, 0), ValueError, "total is 0"),
    (lambda: warmup_cosine(1, -1.0, 0.0, 1, 2), ValueError, "peak is -1.0"),
])
def test_a_bad_call_says_what_was_expected(call, error, message):
    with pytest.raises(error, match=message):
        call()

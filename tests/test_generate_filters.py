"""Temperature, filters and the repetition penalty, in the document's order and in Hugging Face's.

By hand, logits 4 3 2 1, the first token just seen, penalty 4, k = 2: the document's order leaves
1 3 - -, odds 1 : e^2, so .119 and .881; the other 1 3 2 1 and then - 3 2 -, odds e : 1.
"""
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from rlscratch.formulas.distribution import repetition_penalty, softmax, top_k, top_p
from rlscratch.generate import filters
from rlscratch.generate.filters import ORDERS, checked, filtered, sample
from strategies import eighths, logits_nv

BY_HAND = np.array([[4.0, 3.0, 2.0, 1.0]])
SEEN = np.array([[0]])
HAND = {"top_k": 2, "repetition_penalty": 4.0}
knobs = st.fixed_dictionaries({
    "temperature": st.sampled_from([0.5, 1.0, 2.0]),
    "top_k": st.sampled_from([None, 1, 2, 3, 99]),
    "top_p": st.sampled_from([None, 0.3, 0.9, 1.0]),
    "min_p": st.sampled_from([None, 0.0, 0.1, 0.7]),
    "repetition_penalty": st.sampled_from([0.5, 1.0, 1.5, 4.0]),
    "order": st.sampled_from(sorted(ORDERS)),
})
places = st.lists(st.integers(0, 10**6), min_size=1, max_size=3)


def previous_of(logits, picked):
    """(N, T) tokens that the text holds already."""
    return np.tile(picked, (len(logits), 1)) % logits.shape[1]


def every_token(logits, previous, **settings):
    """filtered(...) as `sample` gives it: the middle of each token's share of [0, 1) must draw that token."""
    expected = filtered(logits, previous, **settings)
    seen = np.zeros_like(expected)
    middles = np.cumsum(expected, axis=1) - expected / 2
    for token in range(expected.shape[1]):
        possible = expected[:, token] > 0
        u = np.where(possible, middles[:, token], 0.0)
        ids, logp = sample(logits, u, previous, **checked(**settings))
        assert_array_equal(ids[possible], token)
        seen[possible, token] = np.exp(logp[possible])
    return seen, expected


# ---------------------------------------------------------------- the orders

def test_the_two_orders_by_hand():
    e = np.exp(1)
    assert_allclose(filtered(BY_HAND, SEEN, **HAND, order="document"), [[1 / (1 + e**2), e**2 / (1 + e**2), 0, 0]])
    assert_allclose(filtered(BY_HAND, SEEN, **HAND, order="huggingface"), [[0, e / (1 + e), 1 / (1 + e), 0]])


def test_the_document_s_pseudo_code_line_by_line():
    """Temperature .7, top-k 50, repetition penalty, softmax; here 3 of 5 tokens."""
    logits, previous = np.array([[2.0, 1.0, -1.0, 0.5, -2.0]]), np.array([[0, 4]])
    tempered = logits / 0.7
    three = np.where(top_k(softmax(tempered), 3) > 0, tempered, -np.inf)
    expected = softmax(repetition_penalty(three, previous, 1.3))
    assert_allclose(filtered(logits, previous, temperature=0.7, top_k=3, repetition_penalty=1.3), expected)


def test_hugging_face_s_order_line_by_line():
    logits, previous = np.array([[2.0, 1.0, -1.0, 0.5, -2.0]]), np.array([[0, 4]])
    row = softmax(repetition_penalty(logits, previous, 1.3) / 0.7)
    expected = top_p(top_k(row, 3), 0.8)
    settings = {"temperature": 0.7, "top_k": 3, "top_p": 0.8, "repetition_penalty": 1.3, "order": "huggingface"}
    assert_allclose(filtered(logits, previous, **settings), expected)


@given(logits_nv(), places, knobs)
def test_orders_differ_only_where_a_penalty_meets_top_k(logits, picked, settings):
    settings = settings | ({"top_k": None} if len(picked) % 2 else {"repetition_penalty": 1.0})
    document, other = (filtered(logits, previous_of(logits, picked), **settings | {"order": order}) for order in ORDERS)
    assert_allclose(document, other, atol=1e-12)


def test_a_penalty_cannot_help_the_document_s_order_with_one_choice():
    row = filtered(BY_HAND, SEEN, top_k=1, repetition_penalty=1000.0, order="document")
    assert_array_equal(row, [[1, 0, 0, 0]])
    assert_array_equal(filtered(BY_HAND, SEEN, top_k=1, repetition_penalty=1000.0, order="huggingface"), [[0, 1, 0, 0]])


def test_a_swapped_order_would_be_noticed(monkeypatch):
    monkeypatch.setitem(filters.ORDERS, "document", ORDERS["huggingface"])
    assert abs(filtered(BY_HAND, SEEN, **HAND) - [[0.119, 0.881, 0, 0]]).max() > 0.1
    with pytest.raises(AssertionError):
        every_token(BY_HAND, SEEN, **HAND)


# ---------------------------------------------------------------- drawing

@given(logits_nv(), places, knobs)
@example(BY_HAND, [0], {**HAND, "order": "document"})
@example(BY_HAND, [0], {**HAND, "order": "huggingface"})
@example(np.zeros((2, 4)), [1], {"top_k": 2, "repetition_penalty": 2.0})           # nothing but ties
@example(np.array([[0.0, -np.inf, -np.inf]]), [0], {"top_k": 2, "repetition_penalty": 2.0})
def test_one_call_draws_from_the_distribution_that_the_order_describes(logits, picked, settings):
    drawn, expected = every_token(logits, previous_of(logits, picked), **settings)
    assert_allclose(drawn, expected, atol=1e-12)


@given(logits_nv(), places, knobs, st.lists(eighths(0, 7 / 8), min_size=4, max_size=4))
def test_temperature_0_is_the_limit_of_small_ones(logits, picked, settings, u):
    # Grid logits divided by a penalty of 1.5 or 4 differ by 1/96 at least, if at all: e^(-1/96/1e-4) is 0 here.
    previous = previous_of(logits, picked)
    cold, frozen = (filtered(logits, previous, **settings | {"temperature": T}) for T in (1e-4, 0.0))
    ids, logp = sample(logits, np.array(u)[:len(logits)], previous, **checked(**settings | {"temperature": 0}))
    tied = cold.max(axis=1) < 0.9
    assert_allclose(cold[~tied], frozen[~tied], atol=1e-12)
    assert_array_equal(ids, frozen.argmax(axis=1))
    assert_array_equal(frozen.max(axis=1), 1)
    assert_array_equal(logp, 0)


def test_temperature_0_takes_the_lowest_id_among_equals():
    ids, _ = sample(np.array([[1.0, 3.0, 3.0]]), np.array([0.99]), SEEN, temperature=0.0)
    assert ids.tolist() == [1]


def test_float32_logits_give_float32_log_probabilities():
    for order in ORDERS:
        ids, logp = sample(BY_HAND.astype(np.float32), np.array([0.5]), SEEN, **HAND, order=order)
        assert (ids.tolist(), logp.dtype) == ([1], np.float32)
        assert_allclose(logp, np.log(filtered(BY_HAND, SEEN, **HAND, order=order)[0, 1]), rtol=1e-6)


def test_filters_of_float32_logits_answer_in_float64_as_if_they_had_been_given_so():
    logits = (BY_HAND / 3).astype(np.float32)
    for order in ORDERS:
        row = filtered(logits, SEEN, **HAND, order=order)
        assert row.dtype == np.float64
        assert_array_equal(row, filtered(logits.astype(np.float64), SEEN, **HAND, order=order))


@given(logits_nv(), st.integers(1, 8))
def test_exactly_k_stay_the_lowest_ids_among_equals(logits, k):
    expected = np.argsort(-logits, axis=1, kind="stable")[:, :k]
    kept = filters._kept(logits, k)
    assert_array_equal(kept.sum(axis=1), min(k, logits.shape[1]))
    assert np.take_along_axis(kept, expected, axis=1).all()


# ---------------------------------------------------------------- bad input

@pytest.mark.parametrize(("wrong", "error", "message"), [
    ({"temperature": -1.0}, ValueError, r"temperature is -1.0; expected a finite number >= 0"),
    ({"temperature": 1e-31}, ValueError, r"temperature is 1e-31; expected 0, for the most likely token, or at least"),
    ({"temperature": float("nan")}, ValueError, r"temperature is nan"),
    ({"temperature": "hot"}, TypeError, r"temperature is 'hot'"),
    ({"top_k": 0}, ValueError, r"top_k is 0; expected an integer >= 1"),
    ({"top_k": 2.0}, TypeError, r"top_k is 2.0; expected an integer >= 1"),
    ({"top_p": 0.0}, ValueError, r"top_p is 0.0; expected a number in \(0, 1\]"),
    ({"top_p": 1.1}, ValueError, r"top_p is 1.1; expected a number in \(0, 1\]"),
    ({"min_p": -0.1}, ValueError, r"min_p is -0.1; expected a number in \[0, 1\]"),
    ({"repetition_penalty": 0.0}, ValueError, r"repetition_penalty is 0.0; expected a finite number > 0"),
    ({"order": "alphabetical"}, ValueError, r"order is 'alphabetical'; expected one of 'document', 'huggingface'"),
])
def test_a_bad_knob_is_named(wrong, error, message):
    with pytest.raises(error, match=message):
        checked(**wrong)
    with pytest.raises(error, match=message):
        filtered(BY_HAND, SEEN, **wrong)


def test_a_distribution_of_complex_logits_is_refused():
    with pytest.raises(TypeError, match=r"(?s)^logits is array.*; expected an array of real numbers$"):
        filtered(BY_HAND + 0j, SEEN)


def test_logits_that_are_not_numbers_are_refused():
    with pytest.raises(ValueError, match=r"logits\[0, 1\] is nan; expected"):
        filtered([[0.0, np.nan]], SEEN)
    with pytest.raises(ValueError, match=r"logits\[0, 1\] is nan; expected"):
        sample(np.array([[0.0, np.nan]]), np.zeros(1), SEEN)

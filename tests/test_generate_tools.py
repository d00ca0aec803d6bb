"""Answers that ask a tool: what is whose, where a row ends, and that no row depends on its neighbours.

By hand, on a model in which i is followed by i + 1 (mod 8), 4 ends a call and 7 an answer.  Behind the prompt [2] it
says 3 and 4; the tool says 0, 6; it goes on with 7.

    tokens  2 3 4 0 6 7        mask  0 1 1 0 0 1
"""
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from markov import cycle
from rlscratch import kernels
from rlscratch.formulas.returns import gae
from rlscratch.generate import generate, generate_with_tool, stream_with_tool
from rlscratch.train.language import ppo
from rlscratch.train.language.chat import Rows
from test_generate_sampling import CONTEXT, MODEL, PROMPTS, seeded

CALL, STOP = 3, [9]


def double(ids):
    """A result of one to three ids that depends on the call."""
    return [ids[0], 10, 8][:1 + len(ids) % 3]


def asked(prompts=PROMPTS, rng=None, longest=20, **changed):
    return generate_with_tool(MODEL, prompts, **{"tool": double, "call": CALL, "stop": STOP, "max_new_tokens": longest,
                                                 "rng": rng or seeded()} | changed)


# ---------------------------------------------------------------- by hand

def test_a_row_with_a_call_by_hand():
    heard = []
    found = generate_with_tool(cycle(8), [[2], [5]], tool=lambda ids: heard.append(ids) or [0, 6], call=4, stop=[7],
                               max_new_tokens=5, rng=seeded())
    assert found.tokens.tolist() == [[2, 3, 4, 0, 6, 7], [5, 6, 7, 0, 0, 0]] and heard == [[3, 4]]
    assert found.mask.tolist() == [[0, 1, 1, 0, 0, 1], [0, 1, 1, 0, 0, 0]]
    assert found.lengths.tolist() == [6, 3] and found.finished.tolist() == [True, True]
    assert (found.logp[found.mask == 0] == 0).all() and (found.logp[found.mask == 1] > -1e-6).all()
    assert found.answers == [[3, 4, 7], [6, 7]] and found.replies == [[3, 4, 0, 6, 7], [6, 7]]


@pytest.mark.parametrize(("longest", "expected"), [
    (4, [2, 3, 4]),             # two ids of a result, and none behind them
    (2, [2, 3, 4]), (1, [2, 3])])
def test_a_row_ends_with_a_token_that_was_chosen_even_where_a_result_has_no_room(longest, expected):
    found = generate_with_tool(cycle(8), [[2]], tool=lambda ids: [0, 6], call=4, stop=[7], max_new_tokens=longest,
                               temperature=0)
    assert found.tokens.tolist() == [expected] and found.mask.tolist() == [[0] + [1] * (len(expected) - 1)]
    assert not found.finished.any()


def test_a_policy_that_does_nothing_but_call_comes_to_an_end():
    found = generate_with_tool(cycle(8), [[3]], tool=lambda ids: [3], call=4, max_new_tokens=7, temperature=0)
    assert found.tokens.tolist() == [[3, 4, 3, 4, 3, 4, 3, 4]] and not found.finished.any()
    assert found.mask.tolist() == [[0, 1, 0, 1, 0, 1, 0, 1]]


# ---------------------------------------------------------------- against one row alone, and without a tool

@pytest.mark.parametrize("longest", [1, 2, 5, 20])
def test_token_by_token_an_answer_is_the_same(longest):
    calls = 0
    for seed, prompt in enumerate(PROMPTS * 5):
        options = {"tool": double, "call": CALL, "stop": STOP, "max_new_tokens": longest}
        (whole,) = generate_with_tool(MODEL, [prompt], rng=seeded(seed), **options).replies
        assert list(stream_with_tool(MODEL, prompt, rng=seeded(seed), **options)) == whole
        calls += CALL in whole[:-1]
    assert calls or longest < 5

def test_up_to_its_first_call_an_answer_is_that_of_generate():
    plain = generate(MODEL, PROMPTS, max_new_tokens=20, stop=[CALL, *STOP], rng=seeded())
    found = asked(tool=lambda ids: [0] * 20)                            # for which no row has room
    assert_array_equal(found.tokens[found.mask == 1], plain.tokens[plain.mask == 1])
    assert_array_equal(found.logp[found.mask == 1], plain.logp[plain.mask == 1])
    assert_array_equal(found.finished, [row[length - 1] in STOP for row, length in zip(plain.tokens, plain.lengths,
                                                                                       strict=True)])


def test_a_row_is_the_same_alone_and_in_any_batch():
    together = asked()
    calls = [row[:length].tolist().count(CALL) for row, length in zip(together.tokens, together.lengths, strict=True)]
    assert max(calls) >= 2 and len(set(together.lengths)) >= 3          # or there is nothing to depend on
    for i, stream in enumerate(seeded().spawn(len(PROMPTS))):
        alone = asked([PROMPTS[i]], [stream])
        width = alone.lengths[0]
        assert_array_equal(alone.tokens[0], together.tokens[i, :width])
        assert_array_equal(alone.mask[0], together.mask[i, :width])
        (assert_array_equal if kernels.BACKEND == "compiled" else assert_allclose)(
            alone.logp[0], together.logp[i, :width])
    again = asked()
    assert_array_equal(again.tokens, together.tokens)
    assert_array_equal(again.logp, together.logp)


def test_what_was_chosen_has_the_log_probability_of_the_whole_row_and_results_have_none():
    found = asked()
    whole = MODEL.logp(found.tokens).data
    assert_allclose(found.logp, found.mask * whole, atol=1e-9)
    observed = (found.mask == 0) & (np.arange(found.tokens.shape[1]) < found.lengths[:, None])
    assert observed[:, max(map(len, PROMPTS)):].any()                   # results, not prompts alone


@pytest.fixture(scope="module")
def answered():
    return asked()


@given(seed=st.integers(0, 999), lam=st.sampled_from([0.0, 0.5, 1.0]))
def test_ppo_s_advantages_skip_results_as_if_the_row_were_compacted(answered, seed, lam):
    found, rng = answered, np.random.default_rng(seed)
    rows = Rows(found.tokens, found.mask, found.lengths)
    values = rng.standard_normal(found.mask.shape)
    rewards = ppo.on_the_last_token(rows, rng.standard_normal(len(PROMPTS)))
    ours = ppo.advantages(rows, rewards, values, lam)
    for A, r, v, chosen in zip(ours, rewards, values, found.mask == 1, strict=True):
        goes_on = 1.0 - (np.arange(chosen.sum()) == chosen.sum() - 1)
        compact = gae(r[chosen], v[chosen], np.append(v[chosen][1:], 0), goes_on, lam)
        assert_allclose(A[chosen], compact, atol=1e-12)
        assert not A[~chosen].any()


# ---------------------------------------------------------------- what does not fit

@pytest.mark.parametrize(("changed", "error", "message"), [
    ({"tool": 3}, TypeError, r"tool is 3; expected a function of the ids up to a call"),
    ({"call": 9}, ValueError, r"call is 9; expected an id that is not among stop"),
    ({"call": 11}, ValueError, r"call is 11; expected an integer in \[0, 10\]"),
    ({"tool": lambda ids: [11]}, ValueError, r"result\[0\] is 11; expected an integer in \[0, 11\)"),
    ({"tool": lambda ids: ["a"]}, TypeError, r"result is \['a'\]; expected"),
    ({"longest": CONTEXT}, ValueError, r"max_new_tokens is 40; expected at most 37"),
])
def test_bad_arguments_and_results_are_named(changed, error, message):
    with pytest.raises(error, match=message):
        asked(**changed)

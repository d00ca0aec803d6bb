"""Beam search against the list of all answers.

By hand: after the prompt "0" the tokens 1 and 2 have .6 and .4, then 1 leads on to anything (1/3 each)
and 2 to itself surely.  Greedy decoding takes 1 and ends at .6/3 = .2; two beams find 2 2, at .4.
"""
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from markov import Markov
from rlscratch.generate import beam_search, generate
from rlscratch.transformer import Config, Transformer
from strategies import arrays

with np.errstate(divide="ignore"):
    TRAP = Markov(np.log([[0, 0.6, 0.4], [1 / 3, 1 / 3, 1 / 3], [0, 0, 1]]))
V, T = 3, 4
markovs = arrays((V, V)).map(Markov)
penalties = st.sampled_from([-1.0, 0.0, 0.6, 1.0, 2.0])


def brute_force(model, prompt, length, stop, penalty):
    """All answers with their scores, best first."""
    scored = [(sum(model.logp_of(prompt, answer)) / len(answer)**penalty, answer)
              for answer in model.answers(length, stop)]
    return sorted(scored, key=lambda pair: -pair[0])


# ---------------------------------------------------------------- exactness

@given(markovs, penalties, st.sampled_from([(), (2,), (0, 2)]), st.integers(1, T))
@example(TRAP, 1.0, (), 2)
def test_with_a_place_for_every_answer_the_search_is_exact(model, penalty, stop, length):
    found = beam_search(model, [1, 0], beams=V**T, max_new_tokens=length, length_penalty=penalty, stop=stop)
    expected = brute_force(model, [0], length, stop, penalty)
    expected = [(score, answer) for score, answer in expected if score > -np.inf]
    assert len(found.scores) == len(expected)
    assert_allclose(found.scores, [score for score, _ in expected], rtol=1e-12)
    score_of = {tuple(answer): score for score, answer in expected}
    assert_allclose([score_of[tuple(answer)] for answer in found.rollout.answers], found.scores, rtol=1e-12)


@given(markovs, penalties, st.integers(1, 6))
def test_what_is_found_is_scored_rightly_and_ranked(model, penalty, beams):
    found = beam_search(model, [0], beams=beams, max_new_tokens=T, length_penalty=penalty, stop=[1])
    rollout = found.rollout
    assert len(found.scores) == min(beams, len(list(model.answers(T, [1]))))
    assert (np.diff(found.scores) <= 0).all()
    assert len(set(map(tuple, rollout.answers))) == len(rollout.answers)
    for row, answer in enumerate(rollout.answers):
        logp = model.logp_of([0], answer)
        assert_allclose(rollout.logp[row][rollout.mask[row] == 1], logp, rtol=1e-12)
        assert_allclose(found.scores[row], sum(logp) / len(answer)**penalty, rtol=1e-12)
        assert rollout.finished[row] == (answer[-1] == 1)
        assert rollout.finished[row] or len(answer) == T


@given(markovs, st.sampled_from([(), (2,)]))
def test_one_beam_is_greedy_decoding(model, stop):
    found = beam_search(model, [0], beams=1, max_new_tokens=6, stop=stop)
    greedy = generate(model, [[0]], max_new_tokens=6, temperature=0, stop=stop)
    assert found.rollout.answers == greedy.answers
    assert_array_equal(found.rollout.finished, greedy.finished)


# ---------------------------------------------------------------- by hand

def test_two_beams_escape_where_greedy_is_trapped():
    one, two = (beam_search(TRAP, [0], beams=k, max_new_tokens=2, length_penalty=0) for k in (1, 2))
    assert one.rollout.answers == [[1, 0]]
    assert_allclose(np.exp(one.scores), [0.2])
    assert two.rollout.answers == [[2, 2], [1, 0]]
    assert_allclose(np.exp(two.scores), [0.4, 0.2])


def test_candidates_are_ranked_by_the_whole_sum_not_by_their_last_factor():
    """.9 x .5 = .45 twice beats .1 x 1; a search that forgot the first factor would begin with the 1."""
    with np.errstate(divide="ignore"):
        model = Markov(np.log([[0, 0.9, 0.1], [0.5, 0.5, 0], [0, 0, 1]]))
    found = beam_search(model, [0], beams=2, max_new_tokens=2, length_penalty=0)
    assert found.rollout.answers == [[1, 0], [1, 1]]
    assert_allclose(np.exp(found.scores), [0.45, 0.45])


def test_the_length_penalty_decides_between_short_and_long():
    """Ending at once has .5; going on has .5 and then ends at .9: .5 > .45, but log .5 < log(.45) / 2."""
    model = Markov(np.log([[0.5, 0.5], [0.9, 0.1]]))
    short, long = (beam_search(model, [0], beams=3, max_new_tokens=2, length_penalty=a, stop=[0]) for a in (0.0, 1.0))
    assert short.rollout.answers[0] == [0]
    assert long.rollout.answers[0] == [1, 0]
    assert_allclose(short.scores[0], np.log(0.5))
    assert_allclose(long.scores[0], np.log(0.45) / 2)


def test_an_answer_that_ended_keeps_its_place():
    """With two beams, 0 ends first and holds one of them; the other goes on alone."""
    model = Markov(np.log([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8], [0.1, 0.8, 0.1]]))
    found = beam_search(model, [0], beams=2, max_new_tokens=3, length_penalty=0, stop=[0])
    assert sorted(found.rollout.answers) == [[0], [1, 2, 1]]
    assert found.rollout.reasons == ["stop", "length"]


def test_equal_candidates_go_to_the_lower_ids():
    found = beam_search(Markov(np.zeros((3, 3))), [0], beams=2, max_new_tokens=2)
    assert found.rollout.answers == [[0, 0], [0, 1]]


# ---------------------------------------------------------------- a transformer

def test_beams_of_a_transformer_agree_with_its_log_probabilities():
    model = Transformer(Config(7, 12, 16, 2, 2), np.random.default_rng(3), np.float64)
    for parameter in model.parameters().values():
        parameter.data *= 4
    found = beam_search(model, [3, 1], beams=5, max_new_tokens=6, stop=[2])
    logp = model.logp(found.rollout.tokens).data * found.rollout.mask
    assert_allclose(found.rollout.logp, logp, rtol=0, atol=1e-12)
    assert_allclose(found.scores, logp.sum(axis=1) / found.rollout.mask.sum(axis=1), rtol=1e-12)


def test_a_transformer_s_answers_enumerated():
    """343 answers of three tokens, or fewer where token 2 ends them: all scored by one forward pass."""
    model = Transformer(Config(7, 12, 16, 2, 2), np.random.default_rng(4), np.float64)
    for parameter in model.parameters().values():
        parameter.data *= 4
    found = beam_search(model, [3, 1], beams=400, max_new_tokens=3, stop=[2])
    answers = list(Markov(np.zeros((7, 7))).answers(3, [2]))
    tokens, mask = np.zeros((len(answers), 5), int), np.zeros((len(answers), 5))
    for row, answer in enumerate(answers):
        tokens[row, :2 + len(answer)], mask[row, 2:2 + len(answer)] = [3, 1, *answer], 1
    scores = (model.logp(tokens).data * mask).sum(axis=1) / mask.sum(axis=1)
    assert_allclose(found.scores, -np.sort(-scores), rtol=1e-10)
    assert found.rollout.answers[0] == answers[scores.argmax()]


# ---------------------------------------------------------------- bad input

@pytest.mark.parametrize(("wrong", "error", "message"), [
    ({"prompt": []}, ValueError, r"prompt is \[\]; expected at least one token id"),
    ({"prompt": [[0]]}, ValueError, r"the shape of prompt is \(1, 1\); expected 1 dimension"),
    ({"prompt": [3]}, ValueError, r"prompt\[0\] is 3; expected an integer in \[0, 3\)"),
    ({"prompt": [0.5]}, TypeError, r"prompt is \[0.5\]; expected integers in \[0, 3\)"),
    ({"beams": 0}, ValueError, r"beams is 0; expected an integer >= 1"),
    ({"beams": 1.0}, TypeError, r"beams is 1.0; expected an integer >= 1"),
    ({"max_new_tokens": 0}, ValueError, r"max_new_tokens is 0; expected an integer >= 1"),
    ({"max_new_tokens": 64}, ValueError, r"max_new_tokens is 64; expected at most 63: prompt has 1 tokens, .* is 64"),
    ({"length_penalty": float("inf")}, ValueError, r"length_penalty is inf; expected a number in \[-10, 10\]"),
    ({"stop": [7]}, ValueError, r"stop\[0\] is 7; expected an integer in \[0, 3\)"),
    ({"stop": 1}, ValueError, r"the shape of stop is \(\); expected 1 dimension"),
    ({"stop": [1], "pad": 1}, ValueError, r"pad is 1; expected an id that is no stop token"),
])
def test_bad_arguments_are_named(wrong, error, message):
    arguments = {"prompt": [0], "beams": 2, "max_new_tokens": 2} | wrong
    with pytest.raises(error, match=message):
        beam_search(TRAP, arguments.pop("prompt"), **arguments)

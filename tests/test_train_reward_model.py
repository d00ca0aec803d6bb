"""Reward models: what they are told, what they learn from it, how good they are.

By hand.  Scores 3, 1, 2 of answers whose gold rewards are 1, 0, 1: the pairs that differ are (3, 1) and (2, 1), both in
the right order, so the accuracy is 1.  Scores 0, 1, 1 of rewards 2, 1, 0: (0, 1) is wrong, (0, 1) is wrong, and
(1, 1) counts half, together 1/6.  Scores log 3 and log 1 say .75, and of four such pairs three have come so.
"""
import itertools
import math
from argparse import Namespace
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import tiny
from rlscratch import checkpoint
from rlscratch.autograd import functions as f
from rlscratch.tasks import labellers
from rlscratch.train.language import feedback, judging, reward_model, scoring, stages
from rlscratch.train.language.chat import Rows
from rlscratch.train.language.method import Stages
from rlscratch.train.language.policy import Batch, Policy
from rlscratch.train.language.scoring import RewardModel, accuracy, accuracy_error, calibration, scores
from strategies import arrays

# ---------------------------------------------------------------- accuracy and calibration

tables = st.tuples(st.integers(1, 4), st.integers(2, 4)).flatmap(lambda shape: st.tuples(arrays(shape), arrays(shape)))


def some_differ(truth):
    assume((truth.max(axis=1) > truth.min(axis=1)).any())


@pytest.mark.parametrize(("scores", "truth", "share"), [
    ([[3, 1, 2]], [[1, 0, 1]], 1), ([[0, 1, 1]], [[2, 1, 0]], 1 / 6), ([[0, 0]], [[1, 0]], 1 / 2),
    ([[1, 2], [2, 1]], [[1, 0], [1, 0]], 1 / 2), ([[9, 0], [2, 1]], [[5, 5], [1, 0]], 1)])
def test_accuracy_by_hand(scores, truth, share):
    assert accuracy(scores, truth) == pytest.approx(share, rel=1e-15)


@given(tables)
@example((np.array([[0.0, 1.0, 1.0]]), np.array([[2.0, 1.0, 0.0]])))
def test_accuracy_is_what_counting_says(table):
    scores, truth = table
    some_differ(truth)
    points = []
    for s, t in zip(scores, truth, strict=True):
        for i, j in itertools.permutations(range(len(s)), 2):
            if t[i] > t[j]:
                points.append(1 if s[i] > s[j] else 0 if s[i] < s[j] else Fraction(1, 2))
    assert_allclose(accuracy(scores, truth), float(Fraction(sum(points)) / len(points)), rtol=1e-14)


@given(tables, st.data())
def test_a_constant_for_a_prompt_and_the_order_of_answers_change_nothing(table, data):
    scores, truth = table
    some_differ(truth)
    moved = scores + data.draw(arrays((len(scores), 1)))
    order = data.draw(st.permutations(range(scores.shape[1])))
    for other_scores, other_truth in ((moved, truth), (scores[:, order], truth[:, order])):
        assert accuracy(other_scores, other_truth) == accuracy(scores, truth)
        a, b = calibration(scores, truth), calibration(other_scores, other_truth)
        for name in a:
            assert_allclose(b[name], a[name], rtol=1e-14)


@given(tables)
def test_perfect_scores_are_right_always_and_reversed_ones_never(table):
    _, truth = table
    some_differ(truth)
    assert accuracy(truth, truth) == accuracy(np.exp(truth), truth) == 1
    assert accuracy(-truth, truth) == 0


@given(arrays((5, 2)), st.integers(2, 4))
def test_the_error_of_an_accuracy_counts_rankings_and_not_their_pairs(scores, K):
    truth = np.tile([1.0, 0.0], (5, 1))
    points = (1 + np.sign(scores[:, 0] - scores[:, 1])) / 2
    error = np.std(points, ddof=1) / math.sqrt(5)
    assert accuracy_error(scores, truth) == pytest.approx(error, abs=1e-12)                     # one pair in a ranking
    more = np.hstack([scores[:, :1] + np.zeros((1, K - 1)), scores[:, 1:]])                     # K - 1, all alike
    assert accuracy_error(more, np.tile([*[1.0] * (K - 1), 0.0], (5, 1))) == pytest.approx(error, abs=1e-12)
    with_flat = (np.vstack([scores, scores[:1]]), np.vstack([truth, [[2.0, 2.0]]]))             # nothing to order
    assert accuracy_error(*with_flat) == pytest.approx(error, abs=1e-12)


def test_rankings_of_unequal_length_weigh_by_their_pairs():
    """Of 3 pairs all in order, of 2 none: a = 3/5, off by 6/5 and -6/5."""
    scores, truth = [[3.0, 2, 1], [1.0, 2, 2]], [[3.0, 2, 1], [2.0, 1, 1]]
    assert accuracy(scores, truth) == 3 / 5                             # 3 of 3 and 0 of 2
    off = (3 - 3 * .6) ** 2 + (0 - 2 * .6) ** 2
    assert accuracy_error(scores, truth) == pytest.approx(math.sqrt(2 * off) / 5)
    assert accuracy_error(scores[:1], truth[:1]) is None


@given(tables, st.integers(1, 12))
@example((np.zeros((1, 2)), np.array([[1.0, 0.0]])), 10)            # p = 1/2 lies on the edge of two bins
@example((np.log([[3.0, 2.0, 1.0]]), np.array([[2.0, 1.0, 0.0]])), 4)
def test_calibration_is_symmetric_and_counts_every_pair_from_both_sides(table, bins):
    scores, truth = table
    some_differ(truth)
    curve = calibration(scores, truth, bins)
    for name in ("chance", "frequency"):
        assert_allclose(curve[name] + curve[name][::-1], 1, rtol=1e-14)
    assert_array_equal(curve["count"], curve["count"][::-1])
    i, j = np.triu_indices(truth.shape[1], 1)
    assert curve["count"].sum() == 2 * (truth[:, i] != truth[:, j]).sum()
    assert_allclose((curve["count"] * curve["frequency"]).sum(), curve["count"].sum() / 2)


def test_calibration_by_hand():
    scores = np.log([[3.0, 1.0]] * 4 + [[1.0, 9.0]] * 5)
    curve = calibration(scores, [[1, 0]] * 3 + [[0, 1]] * 2 + [[1, 0]] * 4, bins=10)
    assert_allclose(curve["chance"], [.1, .25, .75, .9])
    assert_allclose(curve["frequency"], [4 / 5, 1 / 4, 3 / 4, 1 / 5])
    assert curve["count"].tolist() == [5, 4, 4, 5]


def every_ranking(odds):
    """All rankings of answers whose e^s are these, each as often as Plackett and Luce draw it: (N, K) answers."""
    chance = {}
    for order in itertools.permutations(range(len(odds))):
        left = list(order)
        chance[order] = Fraction(1)
        while left:
            chance[order] *= Fraction(odds[left[0]], sum(odds[i] for i in left))
            left.pop(0)
    whole = math.lcm(*(p.denominator for p in chance.values()))
    return np.array([order for order, p in chance.items() for _ in range(int(p * whole))])


@given(st.lists(st.integers(1, 3), min_size=2, max_size=3), st.integers(1, 12))
@example([3, 2, 1], 10)
def test_margins_of_the_rankings_own_law_lie_on_the_diagonal(odds, bins):
    rankings = every_ranking(odds)
    scores = np.log(np.array(odds, float))[rankings]
    curve = calibration(scores, np.tile(-np.arange(len(odds)), (len(rankings), 1)), bins)
    assert_allclose(curve["frequency"], curve["chance"], rtol=1e-12)


def test_margins_twice_as_large_do_not_lie_on_the_diagonal():
    rankings = every_ranking([3, 2, 1])
    truth = np.tile(-np.arange(3), (len(rankings), 1))
    curve = calibration(2 * np.log(np.array([3.0, 2.0, 1.0]))[rankings], truth)
    assert np.all(np.abs(curve["frequency"] - curve["chance"]) > .08)           # too sure of itself, in every bin
    assert np.all((curve["chance"] > .5) == (curve["frequency"] < curve["chance"]))


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: accuracy([[1.0]], [[1.0]]), ValueError, r"the shape of scores is \(1, 1\); expected at least 2 answers"),
    (lambda: accuracy([[1.0, 2.0]], [[3.0, 3.0]]), ValueError, "the number of pairs whose truth differs is 0"),
    (lambda: accuracy([1.0, 2.0], [1.0, 2.0]), ValueError, r"the shape of scores is \(2,\); expected 2 dimensions"),
    (lambda: accuracy([[1.0, 2.0]], [[1, 2, 3]]), ValueError, r"the shape of truth is \(1, 3\); expected \(1, 2\)"),
    (lambda: accuracy([[1.0, np.nan]], [[1.0, 2.0]]), ValueError, r"scores\[0, 1\] is nan"),
    (lambda: accuracy([[1.0, 2.0]], [[1j, 2.0]]), TypeError, "truth is .*; expected an array of real numbers"),
    (lambda: calibration([[1.0, 2.0]], [[1.0, 2.0]], 0), ValueError, "bins is 0; expected an integer >= 1"),
])
def test_what_cannot_be_compared_is_said(call, error, message):
    with pytest.raises(error, match=message):
        call()


# ---------------------------------------------------------------- where a score is read

ANSWERS = [[0], [1, 0], [1, 1, 0, 5], [0, 0, 1, 1, 5], [5], [1, 5], [0, 1], [1, 0, 0, 5]]         # 5 is the end, or cut


def judge(seed=3, dtype=np.float64):
    """A reward model, and rows of 8 answers to two prompts, four each."""
    policy = tiny.policy("ab", 5, seed, dtype, head=True)
    pairs = [(policy.chat.prompt("ab"[i // 4]), answer) for i, answer in enumerate(ANSWERS)]
    return RewardModel(policy.model, policy.chat), tiny.rows_of(pairs, policy.chat.pad), pairs


def test_a_score_is_the_head_s_word_at_the_last_token():
    model, rows, pairs = judge()
    for score, (prompt, answer) in zip(scoring.scores(model.model, rows), pairs, strict=True):
        alone = np.array([prompt + answer])
        assert_allclose(score, model.model.value(model.model.hidden(alone)).data[0, -1], rtol=1e-12)


@pytest.mark.parametrize("filler", [0, 3, 5])
def test_padding_never_matters(filler):
    model, rows, pairs = judge()
    wider = tiny.rows_of(pairs, filler, width=11)
    assert_allclose(scoring.scores(model.model, wider), scoring.scores(model.model, rows), rtol=1e-12)
    shuffled = rows.at(np.arange(8)[::-1])
    assert_allclose(scoring.scores(model.model, shuffled)[::-1], scoring.scores(model.model, rows), rtol=1e-12)


def test_another_last_token_is_another_score():
    model, rows, _ = judge()
    other = Rows(rows.tokens.copy(), rows.mask, rows.lengths)
    other.tokens[np.arange(8), rows.lengths - 1] = 4
    assert np.all(np.abs(scoring.scores(model.model, other) - scoring.scores(model.model, rows)) > 1e-6)


def of_texts(model, prompts, texts):
    """Scores of texts, each read to its end."""
    return scores(model.model, model.chat.rows(prompts, texts, model.model.config.context, own=True))


def test_texts_are_scored_as_the_answers_that_a_policy_wrote():
    policy = tiny.policy("ab", 5, head=True)
    model, prompts = RewardModel(policy.model, policy.chat), ["a", "b"] * 20
    batch = policy.answer(prompts, np.random.default_rng(0))
    by_text = of_texts(model, prompts, batch.texts)
    assert 0 < batch.cut.sum() < len(batch)
    assert_allclose(by_text[~batch.cut], model(batch)[~batch.cut], rtol=1e-12)
    assert np.all(by_text[batch.cut] != model(batch)[batch.cut])            # a text is read to its end; these have none


def test_centring_moves_all_scores_alike():
    policy = tiny.policy("ab", 3, head=True)
    model, batch = RewardModel(policy.model, policy.chat), policy.answer(["a"] * 20, np.random.default_rng(0))
    before = model(batch)
    assert abs(before.mean()) > 1e-3
    after = model.centred_on(batch)(batch)
    assert_allclose(after, before - before.mean(), atol=1e-12)
    assert abs(after.mean()) < 1e-12


# ---------------------------------------------------------------- one step

GRADES = np.array([[1.0, .5, .25, 0.0], [.75, .75, .125, 0.0]])


def composed(loss, model, rows, drawn, at=-1, a=1, belief=0):
    """The loss of a step made of autograd's operations alone; `at` says which token is read, `a` who is reliable."""
    chosen = rows.at((np.array(drawn)[:, None] * 4 + np.arange(4)).ravel())
    said = model.value(model.hidden(chosen.tokens))[np.arange(len(chosen.tokens)), chosen.lengths + at]
    if belief:
        said = said + belief * f.sum(model.logp(chosen.tokens) * chosen.mask, axis=1)
    s = said.reshape(len(drawn), 4) * a
    if loss == "ratings":
        return f.mean((s - GRADES[drawn]) ** 2) / 2
    if loss == "pairs":
        return sum(f.mean(f.log(1 + f.exp(s[:, j] - s[:, i]))) for i in range(4) for j in range(i + 1, 4)) / 6
    return sum(f.mean(f.log(f.sum(f.exp(s[:, i:]), axis=1)) - s[:, i]) for i in range(4))


def stepped(loss, drawn, rows, model, **more):
    return tiny.gradient(model, lambda subject, optimizer: reward_model.step(
        subject, optimizer, rows, tiny.Draws(*drawn), loss=loss, batch=len(drawn), K=4, ratings=GRADES, **more))


@pytest.mark.parametrize("drawn", [[0], [1, 0], [1, 1, 0]])
@pytest.mark.parametrize("loss", reward_model.LOSSES)
def test_the_gradient_of_a_step_is_that_of_the_loss_composed(loss, drawn):
    model, rows, _ = judge()
    ours, figures = stepped(loss, drawn, rows, model.model)
    theirs = tiny.by_autograd(model.model, lambda subject: composed(loss, subject, rows, drawn))
    assert set(ours) == set(theirs)
    for name in theirs:
        assert_allclose(ours[name], theirs[name], rtol=1e-9, atol=1e-13)
    assert_allclose(figures["loss"], composed(loss, model.model, rows, drawn).item(), rtol=1e-12)
    assert_allclose(figures["gradient_norm"], np.sqrt(sum((g ** 2).sum() for g in theirs.values())), rtol=1e-9)
    assert figures["tokens"] == sum(len(answer) for n in drawn for answer in ANSWERS[4 * n:4 * n + 4])


@pytest.mark.parametrize("belief", [0, 0.3])
@pytest.mark.parametrize("loss", ["pairs", "plackett-luce"])
def test_a_ranking_s_scores_are_as_large_as_who_gave_it_is_reliable(loss, belief):
    model, rows, _ = judge()
    reliability, drawn = np.array([0.5, 1.5]), [1, 0, 1]
    ours, figures = stepped(loss, drawn, rows, model.model, reliability=reliability, belief=belief)
    a = reliability[drawn][:, None]
    theirs = tiny.by_autograd(model.model, lambda subject: composed(loss, subject, rows, drawn, a=a, belief=belief))
    for name in theirs:
        assert_allclose(ours[name], theirs[name], rtol=1e-9, atol=1e-13)
    assert_allclose(figures["loss"], composed(loss, model.model, rows, drawn, a=a, belief=belief).item(), rtol=1e-12)


@pytest.mark.parametrize("loss", reward_model.LOSSES)
def test_a_belief_is_a_part_of_the_score_and_of_its_gradient(loss):
    model, rows, _ = judge()
    believing = replace(model, belief=0.3)
    logp = (model.model.logp(rows.tokens).data * rows.mask).sum(axis=1)
    assert_allclose(scores(model.model, rows, 0.3), scores(model.model, rows) + 0.3 * logp, rtol=1e-12)
    batch = Batch([""] * 8, [""] * 8, rows, rows.mask, np.zeros(8, bool))
    assert_array_equal(believing(batch), scores(model.model, rows, 0.3))
    ours, figures = stepped(loss, [1, 0, 1], rows, model.model, belief=0.3)
    theirs = tiny.by_autograd(model.model, lambda subject: composed(loss, subject, rows, [1, 0, 1], belief=0.3))
    for name in theirs:
        assert_allclose(ours[name], theirs[name], rtol=1e-9, atol=1e-13)
    assert_allclose(figures["loss"], composed(loss, model.model, rows, [1, 0, 1], belief=0.3).item(), rtol=1e-12)


@pytest.mark.parametrize("loss", reward_model.LOSSES)
def test_a_score_read_one_token_early_or_another_loss_would_be_noticed(loss):
    model, rows, _ = judge()
    ours, _ = stepped(loss, [0, 1], rows, model.model)
    others = [("pairs", -2), *((other, -1) for other in reward_model.LOSSES if other != loss)]
    for other, at in others:
        theirs = tiny.by_autograd(model.model, lambda subject: composed(other, subject, rows, [0, 1], at))  # noqa: B023
        assert np.abs(ours["score.weight"] - theirs["score.weight"]).max() > 1e-3


@pytest.mark.parametrize(("loss", "moves"), [("pairs", False), ("plackett-luce", False), ("ratings", True)])
def test_comparisons_leave_the_bias_of_the_head_alone_and_grades_move_it(loss, moves):
    model, rows, _ = judge()
    ours, _ = stepped(loss, [0, 1], rows, model.model)
    assert (np.abs(ours["score.bias"]) > 1e-3).all() == moves
    assert moves or np.abs(ours["score.bias"]).max() < 1e-15


NO_ROWS = Rows(np.zeros((0, 3), int), np.zeros((0, 3)), np.zeros(0, int))


def bad_step(**changes):
    model, rows, _ = judge()
    given = {"loss": "pairs", "batch": 2, "K": 4, "rows": rows} | changes
    rows = given.pop("rows")
    return tiny.gradient(model.model, lambda subject, optimizer: reward_model.step(
        subject, optimizer, rows, np.random.default_rng(0), **given))


@pytest.mark.parametrize(("changes", "error", "message"), [
    ({"loss": "hinge"}, ValueError, "loss is 'hinge'; expected one of 'pairs', 'plackett-luce', 'ratings'"),
    ({"K": 1}, ValueError, "K is 1; expected an integer >= 2"),
    ({"K": 9}, ValueError, "the number of rankings is 0; expected an integer >= 1"),
    ({"batch": 0}, ValueError, "batch is 0; expected an integer >= 1"),
    ({"loss": "ratings"}, TypeError, "ratings is None; expected an array"),
    ({"loss": "ratings", "ratings": GRADES[:1]}, ValueError, r"the shape of ratings is \(1, 4\); expected \(2, 4\)"),
    ({"rows": NO_ROWS}, ValueError, "the number of rankings is 0; expected an integer >= 1"),
])
def test_a_step_that_cannot_be_is_refused(changes, error, message):
    with pytest.raises(error, match=message):
        bad_step(**changes)


def test_an_answer_longer_than_the_context_is_named():
    model, _, _ = judge()
    with pytest.raises(ValueError, match=r"the tokens of answers\[1\], 'aaaaaaaaaaaa', .*expected at most 12"):
        of_texts(model, ["a", "a"], ["a", "a" * 12])
    with pytest.raises(ValueError, match=r"prompts is \[\]; expected at least one"):
        of_texts(model, [], [])


# ---------------------------------------------------------------- feedback

POINTS = {"a": 2, "b": 1, "d": -1}


def gold(prompt, answer):
    return float(sum(POINTS.get(letter, 0) for letter in answer))


def told(noise=1.0, rankings=30, answers=4, **more):
    world = tiny.world(gold, 4)
    asked = {"rankings": rankings, "answers": answers, "noise": noise} | more
    return world, feedback.gathered(world, tiny.beginner(world), **asked)


def test_without_noise_the_gold_rewards_of_a_ranking_fall():
    world, said = told(noise=0.0)
    assert said.rewards.shape == said.grades.shape == said.ranked.shape == (30, 4) and said.K == 4
    assert (np.diff(said.rewards) <= 0).all() and (np.diff(said.rewards) < 0).any()
    assert (np.diff(said.ranked) < 0).all()
    assert_array_equal(said.rewards.ravel(), world.task.rewards(said.batch.prompts, said.batch.texts))
    assert said.batch.prompts == [prompt for prompt in said.batch.prompts[::4] for _ in range(4)]


def test_with_noise_they_do_not_and_the_answers_are_the_same():
    _, quiet = told(noise=0.0)
    _, noisy = told(noise=2.0)
    assert (np.diff(noisy.rewards) > 0).any()
    for n in range(30):
        assert sorted(noisy.batch.texts[4 * n:4 * n + 4]) == sorted(quiet.batch.texts[4 * n:4 * n + 4])


def test_the_same_world_gives_the_same_rankings_whoever_asks():
    world, said = told()
    _, again = told()
    assert said.batch.texts == again.batch.texts and said.batch.prompts == again.batch.prompts
    assert_array_equal(said.grades, again.grades)
    other = feedback.gathered(tiny.world(gold, 4, seed=1), tiny.beginner(world), rankings=30, answers=4, noise=1.0)
    assert other.batch.texts != said.batch.texts


def test_held_out_rankings_are_about_held_out_prompts():
    world, said = told()
    _, held_out = told(held_out=True)
    assert set(said.batch.prompts) <= set(world.task.prompts)
    assert set(held_out.batch.prompts) == set(world.task.held_out)


def test_grades_are_shares_of_the_best_reward_there_is(monkeypatch):
    monkeypatch.setattr(labellers, "rate", lambda reward, rng, best: (reward, best))
    _, said = told()
    graded = said.grades.reshape(30, 4, 2)
    assert_array_equal(graded[..., 0], said.rewards)
    assert (graded[..., 1] == said.rewards.max()).all()


def test_where_nothing_is_good_no_grade_is():
    world = tiny.world(lambda prompt, answer: -1.0)
    said = feedback.gathered(world, tiny.beginner(world), rankings=9, answers=3, noise=1.0)
    assert (said.grades <= .2).all() and (said.grades == 0).any()               # -1 plus an error of .1


@pytest.mark.parametrize("count", [1, 2, 8])
def test_several_answer_in_turn_and_the_last_turn_refuses(count):
    one, other = tiny.policy("abN"), tiny.policy("abN", seed=5)
    prompts = ("a", "ab", "b", "aa", "ba", "bb", "N", "Na")[:count]
    found = judging.Several(**vars(one), others=[other], refusal="N").answer(
        prompts, np.random.default_rng(0))
    assert found.prompts == [*prompts] and all(text == "N" for text in found.texts[2::3])
    for first, policy in enumerate((one, other)):
        if first < count:
            own = found.at(np.arange(first, count, 3))
            assert_allclose(policy.logp(own.rows), own.logp, atol=1e-9)


def test_who_is_asked_further_says_more_by_the_same_model():
    one, prompts = tiny.policy(" abN"), ["a", "b", "ab"] * 40
    asked = judging.Several(**vars(one), others=[], refusal="N",
                            further=lambda prompt, answer, rng: None if prompt == "b" or "N" in answer else "bb")
    plain, found = (policy.answer(prompts, np.random.default_rng(0))
                    for policy in (judging.Several(**vars(one), others=[], refusal="N"), asked))
    more = [first != both for first, both in zip(plain.texts, found.texts, strict=True)]
    assert found.prompts == prompts and any(more)           # not where a mark is said, which is no text
    for prompt, first, both, longer in zip(prompts, plain.texts, found.texts, more, strict=True):
        assert not longer or (prompt != "b" and "N" not in first and both.startswith(f"{first} "))
    assert_allclose(one.logp(found.rows), found.logp, atol=1e-9)


def test_each_model_goes_on_itself_as_warm_as_it_began(monkeypatch):
    one, other = tiny.policy(" abN"), tiny.policy(" abN")
    asked = judging.Several(**vars(one), others=[other], refusal="N", further=lambda prompt, answer, rng: "bb")
    calls, answer = [], Policy.answer

    def noted(self, prompts, rng, temperature=None):
        calls.append((self.model, set(prompts), temperature))
        return answer(self, prompts, rng, temperature)

    monkeypatch.setattr(Policy, "answer", noted)
    asked.answer(["a"] * 9, np.random.default_rng(0), 0.5)
    assert calls == [(model, {prompt}, 0.5) for model in (one.model, other.model) for prompt in ("a", "bb")]


def test_who_says_what_nobody_else_says_is_less_reliable():
    world, rng = tiny.world(gold, 4), np.random.default_rng(0)
    lines = [("".join(prompt), [*(order if who < "c" or rng.random() < 0.7 else order[::-1])], who)
             for prompt in itertools.product("abd", repeat=3) for order in [rng.permutation([*"bad"])] for who in "abc"]
    said = feedback._ranked(tiny.beginner(world), lines)
    a = dict(zip(said.who, said.reliability, strict=True))
    assert said.reliability.mean() == pytest.approx(1) and a["a"] == pytest.approx(a["b"]) and 0 < a["c"] < a["a"] / 2
    two = [line for line in lines if line[2] != "c"]
    with pytest.raises(ValueError, match="labellers is 2; expected an integer >= 3"):
        feedback._ranked(tiny.beginner(world), two).reliability  # noqa: B018


def test_labellers_see_answers_by_their_rewards_alone(monkeypatch):
    seen, rank = [], labellers.rank
    monkeypatch.setattr(labellers, "rank", lambda rewards, *how: seen.append(rewards) or rank(rewards, *how))
    _, said = told()
    assert_array_equal(np.sort(np.concatenate(seen)), np.sort(said.rewards.ravel()))
    assert len(seen) == 30 and all(len(rewards) == 4 for rewards in seen)


@pytest.mark.compiled_only("what is looked at does not depend on the backend")
@pytest.mark.parametrize("loss", reward_model.LOSSES)
def test_training_never_looks_at_the_gold_reward(loss, monkeypatch):
    """With other gold rewards beside the same rankings and grades, the model that comes out is the same."""
    gathered, world = feedback.gathered, tiny.world(gold, 4)
    settings = {"rankings": 20, "answers": 4, "batch": 4, "noise": 1.0, "loss": loss}
    seeing, _ = tiny.trained(reward_model.METHOD, world, Stages(tiny.beginner(world)), 3, **settings)
    monkeypatch.setattr(feedback, "gathered", lambda *args, **more: replace(
        said := gathered(*args, **more), rewards=np.full_like(said.rewards, np.nan)))
    blind, _ = tiny.trained(reward_model.METHOD, world, Stages(tiny.beginner(world)), 3, **settings)
    for name, parameter in seeing.model.parameters().items():
        assert_array_equal(blind.model.parameters()[name].data, parameter.data)


@pytest.mark.parametrize(("changes", "error", "message"), [
    ({"answers": 1}, ValueError, "answers is 1; expected an integer >= 2"),
    ({"rankings": 0}, ValueError, "rankings is 0; expected an integer >= 1"),
    ({"rankings": 2.0}, TypeError, "rankings is 2.0; expected an integer"),
    ({"noise": -1.0}, ValueError, "noise is -1.0; expected a finite number >= 0"),
])
def test_rankings_that_nobody_can_give_are_refused(changes, error, message):
    with pytest.raises(error, match=message):
        told(**changes)


# ---------------------------------------------------------------- the method

def learned(steps=120, **settings):
    world = tiny.world(gold, 4)
    policy = tiny.beginner(world)
    chosen = {"rankings": 300, "answers": 4, "batch": 16, "noise": .5, "lr": 3e-3} | settings
    learner, history = tiny.trained(reward_model.METHOD, world, Stages(policy), steps, **chosen)
    return world, policy, learner, history


OTHERS = pytest.mark.compiled_only("one loss is learned by on NumPy, too")


@pytest.mark.parametrize("loss", [pytest.param(loss, marks=() if loss == "pairs" else OTHERS) for loss in
                                  reward_model.LOSSES])
def test_it_learns_what_labellers_like(loss):
    _, _, learner, history = learned(loss=loss)
    report = learner.report()
    assert report["held_out_accuracy"] > .95 and report["learned_accuracy"] > .95
    assert 0 <= report["held_out_accuracy_error"] < .02 and report["measured_rankings"] == reward_model.HELD_OUT
    assert history[-1]["loss"] < .6 * history[0]["loss"] and learner.policy is None
    model = RewardModel(learner.model, learner.chat)
    assert_array_equal(np.argsort(of_texts(model, ["d"] * 4, ["aaa", "ab", "c", "dd"])), [3, 2, 1, 0])
    assert report["calibration"]["count"] == report["calibration"]["count"][::-1]


def test_rankings_about_a_prompt_that_was_trained_on_are_not_called_held_out():
    world = tiny.world(gold, 4, held_out=())
    learner, _ = tiny.trained(reward_model.METHOD, world, Stages(tiny.beginner(world)), 2, rankings=50, answers=4)
    report = learner.report()
    assert {"training_prompt_accuracy", "training_prompt_accuracy_error"} <= {*report}
    assert not [name for name in report if "held_out" in name]


def test_a_belief_is_trained_measured_and_centred():
    world, policy, learner, history = learned(3, rankings=50, belief=2.0)
    said = feedback.gathered(world, policy, rankings=50, answers=4, noise=.5)
    found, head = (scores(learner.model, said.batch.rows, belief) for belief in (2.0, 0.0))
    ours, alone = (accuracy(each.reshape(-1, 4), said.rewards) for each in (found, head))
    assert abs(found.mean()) < 1e-5 and learner.report()["learned_accuracy"] == ours != alone
    assert history[0]["loss"] != learned(1, rankings=50)[3][0]["loss"]


@pytest.mark.compiled_only("one centre is measured on NumPy, too")
def test_comparisons_are_centred_by_the_last_step_and_grades_are_not():
    for loss in reward_model.LOSSES:
        world, policy, learner, _ = learned(3, loss=loss, rankings=50)
        said = feedback.gathered(world, policy, rankings=50, answers=4, noise=.5)
        centre = scoring.scores(learner.model, said.batch.rows).mean()
        before = {name: p.data.copy() for name, p in learner.model.parameters().items()}
        learner.report()
        assert (abs(centre) < 1e-6) == (loss != "ratings")
        assert all((before[name] == p.data).all() for name, p in learner.model.parameters().items())


@pytest.mark.compiled_only("who is asked does not depend on the backend")
def test_calibration_is_asked_of_labellers_who_err_as_those_did_that_it_learned_from(monkeypatch):
    asked = []
    gathered = feedback.gathered
    monkeypatch.setattr(feedback, "gathered", lambda *args, **more: asked.append(more) or gathered(*args, **more))
    world, policy, learner, _ = learned(noise=2.0, rankings=100)
    curve = learner.report()["calibration"]
    assert asked == [{"rankings": 100, "answers": 4, "noise": 2.0},
                     {"rankings": reward_model.HELD_OUT, "answers": 4, "noise": 2.0, "held_out": True}]
    chance, frequency, count = (np.array(curve[name]) for name in ("chance", "frequency", "count"))
    assert np.abs(chance - frequency)[count > 200].max() < .12
    others = gathered(world, policy, rankings=500, answers=4, noise=2.0, held_out=True)
    found = scoring.scores(learner.model, others.batch.rows).reshape(-1, 4)
    gold_curve = calibration(found, others.rewards)
    far = np.abs(gold_curve["chance"] - gold_curve["frequency"])[gold_curve["count"] > 200]
    assert far.max() > .2                                       # against gold it would look too modest


def test_the_policy_that_it_begins_with_is_left_as_it_was():
    world, policy, learner, _ = learned(2, rankings=50)
    fresh = tiny.beginner(world)
    assert all((p.data == fresh.model.parameters()[name].data).all() for name, p in policy.model.parameters().items())
    assert learner.model.config.value_head and not policy.model.config.value_head


@pytest.mark.parametrize(("settings", "message"), [
    ({"answers": 1}, "answers is 1; expected an integer >= 2"), ({"rankings": 0}, "rankings is 0"),
    ({"loss": "hinge"}, "loss is 'hinge'; expected one of 'pairs'"), ({"noise": -.5}, "noise is -0.5"),
    ({"votes": 2}, "setting is 'votes'; expected one of 'lr', 'loss'")])
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        learned(1, **settings)


# ---------------------------------------------------------------- a run's folder

def saved(folder, policy):
    checkpoint.save(folder, policy.model, step=0)
    policy.chat.tokenizer.save(folder)
    return folder


def test_a_folder_gives_back_the_reward_model(tmp_path):
    world = tiny.world(gold)
    policy = tiny.policy("abcd", 3, head=True, dtype=np.float32)
    found = world.reward_model(saved(tmp_path, policy))
    texts = ["ab", "", "dd"]
    before = RewardModel(policy.model, policy.chat)
    assert_array_equal(of_texts(found, ["a"] * 3, texts), of_texts(before, ["a"] * 3, texts))
    (tmp_path / "config.json").write_text('{"belief": 0.5}')
    assert found.belief == 0 and world.reward_model(tmp_path).belief == 0.5
    (tmp_path / "config.json").write_text('{"belief": "much"}')
    with pytest.raises(TypeError, match=r"belief in .*config.json is 'much'; expected a number"):
        world.reward_model(tmp_path)


def test_a_reward_model_is_known_by_its_belief_too(tmp_path):
    world, method = tiny.world(gold), Namespace(needs=("reward-model",))
    saved(tmp_path, tiny.policy("abcd", 3, head=True, dtype=np.float32))
    known = set()
    for belief in (0.0, 0.1, 0.2):
        (tmp_path / "config.json").write_text(f'{{"belief": {belief}}}')
        args = Namespace(init=tmp_path, reward_model=tmp_path)
        known.add(stages.given(method, args, world)[1]["reward_model"])
    assert len(known) == 3


def test_a_folder_without_a_head_is_no_reward_model(tmp_path):
    with pytest.raises(ValueError, match=r"reward_model is .*; expected the run of a reward model: .* no head"):
        tiny.world(gold).reward_model(saved(tmp_path, tiny.policy("abcd", 3)))


def test_a_reward_model_whose_context_is_too_short_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"the context of the model in .* is 5; expected at least 6 tokens"):
        tiny.world(gold).reward_model(saved(tmp_path, tiny.policy("abcd", 3, head=True, context=5)))


def test_a_model_without_a_head_scores_nothing():
    policy = tiny.policy("ab", 3)
    with pytest.raises(ValueError, match="value_head is False"):
        of_texts(RewardModel(policy.model, policy.chat), ["a"], ["b"])

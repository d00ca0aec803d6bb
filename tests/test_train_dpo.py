"""DPO and IPO on a transformer: the loss of whole answers, its gradient on every token, and where it leads.

Two answers, L_c = log .2 and L_r = log .4, of which the reference says .1 and .4, beta = 1/2:

    h = log(.2/.1) - log(.4/.4) = log 2        beta h = log 2 / 2        sigma(-beta h) = 1 / (1 + sqrt 2) = .4142
    DPO    loss  -log sigma(beta h) = log(1 + 1/sqrt 2) = .5348
           seed  -beta sigma(-beta h) = -.2071 on each token of the chosen answer, +.2071 on each of the other
    IPO    loss  (h - 1)^2 = .0942       seed  2 (h - 1) = -.6137 and +.6137

Where answers are few the optimum is known: DPO on all pairs, each as often as Bradley and Terry say, goes to
kl_optimal_policy of the rewards, and IPO to that of the chances to win.
"""
import itertools
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import tiny
from rlscratch.autograd import functions as f
from rlscratch.formulas.kl import kl_optimal_policy
from rlscratch.optim import AdamW, warmup_cosine
from rlscratch.train.language import dpo, feedback, reward_model
from rlscratch.train.language.chat import Rows
from rlscratch.train.language.evaluation import of_answers
from rlscratch.train.language.method import Stages
from rlscratch.train.language.policy import copied, update

# ---------------------------------------------------------------- pairs


@pytest.mark.parametrize(("count", "K"), [(1, 2), (2, 3), (3, 5)])
def test_pairs_are_every_better_and_worse_answer_of_a_ranking(count, K):
    found = dpo.pairs(count, K).tolist()
    expected = [[i, j] for i, j in itertools.combinations(range(count * K), 2) if i // K == j // K]
    assert sorted(found) == expected and len(found) == count * K * (K - 1) // 2


@pytest.mark.parametrize(("count", "K", "message"), [
    (0, 2, "count is 0; expected an integer >= 1"), (1, 1, "K is 1; expected an integer >= 2")])
def test_without_rankings_or_with_one_answer_there_are_no_pairs(count, K, message):
    with pytest.raises(ValueError, match=message):
        dpo.pairs(count, K)


# ---------------------------------------------------------------- one step

ANSWERS = [[0], [1, 0], [1, 1, 0, 5], [0, 0, 1, 1, 5], [5], [1, 5], [0, 1], [1, 0, 0, 5]]         # 5 is the end, or cut
PAIRS = dpo.pairs(2, 4)


def students(temperature=1.0):
    """A policy, log pi_ref of 8 answers to two prompts by another one, and the answers' rows."""
    policy = tiny.policy("ab", 5, temperature=temperature)
    asked = [policy.chat.prompt(prompt) for prompt in "aaaabbbb"]
    rows = tiny.rows_of(list(zip(asked, ANSWERS, strict=True)), policy.chat.pad)
    return policy, tiny.policy("ab", 5, seed=1, temperature=temperature).logp(rows).sum(axis=1), rows


def stepped(policy, ref, rows, drawn, loss="dpo", beta=.5):
    return tiny.gradient(policy, lambda subject, optimizer: dpo.step(
        subject, optimizer, rows, PAIRS, ref, tiny.Draws(drawn), loss=loss, batch=len(drawn), beta=beta))


def composed(loss, policy, model, rows, ref, drawn, beta=.5):
    """The loss of a step made of autograd's operations alone, pair by pair."""
    answers = [model.logp(rows.tokens[i:i + 1, :rows.lengths[i]], policy.temperature) for i in range(len(ref))]
    L = [f.sum(logp * rows.mask[i:i + 1, :rows.lengths[i]]) for i, logp in enumerate(answers)]
    h = [L[c] - L[r] - (ref[c] - ref[r]) for c, r in PAIRS[drawn]]
    terms = [f.log(1 + f.exp(-beta * one)) if loss == "dpo" else (one - 1 / (2 * beta)) ** 2 for one in h]
    return sum(terms) / len(drawn)


@pytest.mark.parametrize("temperature", [1.0, .75])
@pytest.mark.parametrize("drawn", [[3], [0, 7, 11], [5, 5, 2]])
@pytest.mark.parametrize("loss", dpo.LOSSES)
def test_the_gradient_of_a_step_is_that_of_the_loss_composed(loss, drawn, temperature):
    policy, ref, rows = students(temperature)
    ours, figures = stepped(policy, ref, rows, drawn, loss)
    theirs = tiny.by_autograd(policy.model, lambda model: composed(loss, policy, model, rows, ref, drawn))
    assert set(ours) == set(theirs)
    for name in theirs:
        assert_allclose(ours[name], theirs[name], rtol=1e-9, atol=1e-12)
    assert_allclose(figures["loss"], composed(loss, policy, policy.model, rows, ref, drawn).item(), rtol=1e-12)
    assert figures["tokens"] == sum(len(ANSWERS[i]) for i in set(PAIRS[drawn].ravel().tolist()))


@pytest.mark.parametrize("loss", dpo.LOSSES)
def test_the_pairs_of_a_ranking_are_drawn_together_and_each_answer_is_read_once(loss):
    policy, ref, rows = students()
    of_pairs, _ = stepped(policy, ref, rows, list(range(6)), loss)
    of_ranking, figures = tiny.gradient(policy, lambda subject, optimizer: dpo.step(
        subject, optimizer, rows, PAIRS.reshape(2, 6, 2), ref, tiny.Draws([0]), loss=loss, batch=1, beta=.5))
    for name in of_pairs:
        assert_allclose(of_ranking[name], of_pairs[name], rtol=1e-12, atol=1e-15)
    assert figures["tokens"] == sum(len(answer) for answer in ANSWERS[:4])


@pytest.mark.parametrize("wrong", [{"beta": .5005}, {"drawn": [0, 7, 10]}, {"loss": "ipo"}, {"ref": 0.0}])
def test_another_beta_pair_loss_or_reference_would_be_noticed(wrong):
    policy, ref, rows = students()
    ours, _ = stepped(policy, ref, rows, [0, 7, 11])
    other = {"loss": "dpo", "drawn": [0, 7, 11], "beta": .5, "ref": 1.0} | wrong
    theirs = tiny.by_autograd(policy.model, lambda model: composed(
        other["loss"], policy, model, rows, other["ref"] * ref, other["drawn"], other["beta"]))
    assert any(np.abs(ours[name] - theirs[name]).max() > 1e-6 for name in theirs)


def seeds_of(policy, ref, rows, drawn, monkeypatch, **settings):
    """dL/dlogp as the network gets it, and its rows."""
    seen = {}

    def listening(model, optimizer, chosen, objective, **more):
        def heard(part, found):
            seen.update(objective(part, found), rows=chosen)
            return {"logp": seen["logp"]}
        return update(model, optimizer, chosen, heard, **more)

    monkeypatch.setattr(dpo, "update", listening)
    stepped(policy, ref, rows, drawn, **settings)
    return seen["logp"], seen["rows"]


@pytest.mark.parametrize(("loss", "size"), [("dpo", .5 / (1 + np.sqrt(2))), ("ipo", 2 * (1 - np.log(2)))])
def test_every_token_of_an_answer_has_the_seed_of_its_pair(loss, size, monkeypatch):
    policy, _, rows = students()
    L = policy.logp(rows).sum(axis=1)
    ref = L.copy()
    chosen, rejected = PAIRS[10]
    ref[chosen] -= np.log(2)                        # so h = log 2, as in the worked sheet
    seed, found = seeds_of(policy, ref, rows, [10], monkeypatch, loss=loss)
    assert found.mask.sum(axis=1).tolist() == [len(ANSWERS[chosen]), len(ANSWERS[rejected])]
    assert_allclose(seed, np.array([[-size], [size]]) * found.mask, rtol=1e-12)


def test_the_worked_sheet(monkeypatch):
    policy, _, rows = students()
    ref = policy.logp(rows).sum(axis=1)
    ref[PAIRS[10][0]] -= np.log(2)
    for loss, expected in (("dpo", .5348), ("ipo", .0942)):
        _, figures = stepped(policy, ref, rows, [10], loss)
        assert round(figures["loss"], 4) == expected
        assert_allclose([figures["margin"], figures["preferred"]], [np.log(2) / 2, 1.0])


@pytest.mark.parametrize("loss", dpo.LOSSES)
def test_a_batch_is_the_mean_of_its_parts(loss):
    policy, ref, rows = students()
    drawn = [0, 1, 4, 6, 8, 11]
    whole, figures = stepped(policy, ref, rows, drawn, loss)
    parts = [stepped(policy, ref, rows, part, loss) for part in (drawn[:2], drawn[2:])]
    for name, gradient in whole.items():
        assert_allclose(gradient, (2 * parts[0][0][name] + 4 * parts[1][0][name]) / 6, rtol=1e-9, atol=1e-12)
    for name in ("loss", "margin", "preferred"):
        assert_allclose(figures[name], (2 * parts[0][1][name] + 4 * parts[1][1][name]) / 6, rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("beta", [.1, .5, 2.0])
def test_where_policy_and_reference_are_one_the_loss_is_known(beta, dtype):
    policy = tiny.policy("ab", 5, dtype=dtype)
    _, _, rows = students()
    ref = policy.logp(rows).sum(axis=1, dtype=float)
    close = 1e-12 if dtype == np.float64 else 1e-5
    for loss, expected in (("dpo", np.log(2)), ("ipo", (1 / (2 * beta)) ** 2)):
        _, figures = stepped(policy, ref, rows, list(range(12)), loss, beta)
        assert_allclose(figures["loss"], expected, rtol=close)
        assert_allclose(figures["margin"], 0, atol=close)


NO_PAIRS = np.zeros((0, 2), int)


@pytest.mark.parametrize(("changes", "message"), [
    ({"loss": "kto"}, "loss is 'kto'; expected one of 'dpo', 'ipo'"),
    ({"beta": 0.0}, "beta is 0.0; expected a finite number > 0"),
    ({"batch": 0}, "batch is 0; expected an integer >= 1"),
    ({"pairs": NO_PAIRS}, "the number of pairs is 0; expected an integer >= 1"),
])
def test_a_step_that_cannot_be_is_refused(changes, message):
    policy, ref, rows = students()
    given = {"loss": "dpo", "beta": .5, "batch": 2, "pairs": PAIRS} | changes
    pairs = given.pop("pairs")
    with pytest.raises(ValueError, match=message):
        tiny.gradient(policy, lambda subject, optimizer: dpo.step(
            subject, optimizer, rows, pairs, ref, np.random.default_rng(0), **given))


def test_an_answer_longer_than_the_context_is_refused():
    policy, _, _ = students()
    long = tiny.rows_of([(policy.chat.prompt("a"), [0] * 10), (policy.chat.prompt("a"), [1])], policy.chat.pad)
    with pytest.raises(ValueError, match=r"the shape of tokens is \(2, 13\); expected .* T at most 12, the context"):
        policy.logp(long)


# ---------------------------------------------------------------- where many steps lead

def contests(odds, rivals):
    """All pairs of `rivals`, either way round, as often as answers with these odds (1 or 3) win."""
    found = []
    for i, j in rivals:
        times = {(1, 3): 1, (1, 1): 2, (3, 3): 2, (3, 1): 3}[int(odds[i]), int(odds[j])]
        found += [(i, j)] * times + [(j, i)] * (4 - times)
    return np.array(found)


def converged(reference, rows, pairs, steps, **settings):
    """The policy after full-batch steps from the reference: the probability of each answer."""
    policy, ref = reference.with_model(copied(reference.model)), reference.logp(rows).sum(axis=1)
    optimizer = AdamW(policy.model.parameters(), 0.0, (.9, .99), weight_decay=0.0)
    for done in range(steps):
        optimizer.lr = warmup_cosine(done + 1, .01, 1e-5, 10, steps)
        dpo.step(policy, optimizer, rows, pairs, ref, tiny.Draws(np.arange(len(pairs))), batch=len(pairs), **settings)
    return np.exp(policy.logp(rows).sum(axis=1))


def test_dpo_goes_to_the_optimum_of_reward_and_kl():
    """Over all 21 answers of two tokens; each meets four others, which ties all of them together."""
    reference = tiny.policy("a", 2)
    rows = tiny.every_answer(reference, "a")
    ref, n = np.exp(reference.logp(rows).sum(axis=1)), len(rows.tokens)
    odds = np.where(np.arange(n) % 3 == 1, 3, 1)
    pairs = contests(odds, [(i, (i + d) % n) for i in range(n) for d in (1, 5)])
    assert_allclose(ref.sum(), 1, rtol=1e-12)
    best = kl_optimal_policy(ref, np.log(odds), beta=.5)
    found = converged(reference, rows, pairs, 150, loss="dpo", beta=.5)
    assert_allclose(found, best, atol=1e-3)
    assert np.abs(ref - best).max() > .05                                       # which is not where it began
    assert np.abs(kl_optimal_policy(ref, np.log(odds), beta=.55) - best).max() > 5e-3           # nor another beta's


def test_ipo_goes_to_the_optimum_of_the_chance_to_win():
    """Over all five answers of one token, each against each."""
    reference = tiny.policy("a", 1)
    rows = tiny.every_answer(reference, "a")
    ref, odds = np.exp(reference.logp(rows).sum(axis=1)), np.array([1, 3, 1, 3, 3])
    pairs = contests(odds, itertools.combinations(range(5), 2))
    wins = (odds[:, None] / (odds[:, None] + odds)).mean(axis=1)                # against a draw from all five
    best = kl_optimal_policy(ref, wins, beta=.1)
    found = converged(reference, rows, pairs, 150, loss="ipo", beta=.1)
    assert_allclose(found, best, atol=1e-4)
    assert np.abs(ref - best).max() > .05
    assert np.abs(kl_optimal_policy(ref, np.log(odds), beta=.1) - best).max() > .02             # DPO's is elsewhere


@pytest.mark.compiled_only("where steps lead follows from their gradients, which are compared on NumPy, too")
@pytest.mark.parametrize(("winners", "beta"), [(1, .5), (3 / 4, .25)])
def test_ipo_reaches_its_target_h(winners, beta):
    """(p - 1/2) / beta for an answer that wins with p: 1 for both."""
    reference = tiny.policy("a", 1)
    rows = tiny.every_answer(reference, "a")
    pairs = np.array([(0, 1)] * round(4 * winners) + [(1, 0)] * round(4 * (1 - winners)))
    found = np.log(converged(reference, rows, pairs, 100, loss="ipo", beta=beta)) - reference.logp(rows).sum(axis=1)
    assert_allclose(found[0] - found[1], (winners - 1 / 2) / beta, atol=1e-3)


@pytest.mark.compiled_only("where steps lead follows from their gradients, which are compared on NumPy, too")
def test_without_losses_dpo_goes_on_and_ipo_does_not():
    reference = tiny.policy("a", 1)
    rows = tiny.every_answer(reference, "a")

    def gap(loss, steps):
        moved = np.log(converged(reference, rows, np.array([(0, 1)]), steps, loss=loss, beta=.5))
        return np.subtract(*(moved - reference.logp(rows).sum(axis=1))[:2])

    assert gap("dpo", 200) > gap("dpo", 100) + 1 > 3
    assert abs(gap("ipo", 200) - gap("ipo", 100)) < 1e-3


# ---------------------------------------------------------------- the method

POINTS = {"a": 2, "b": 1, "d": -1}


def gold(prompt, answer):
    return float(sum(POINTS.get(letter, 0) for letter in answer))


OTHERS = pytest.mark.compiled_only("one loss is learned by on NumPy, too")
WORLD = tiny.world(gold, 4)
SMALL = {"rankings": 200, "answers": 4, "noise": .5, "batch": 32, "lr": 1e-3, "beta": .1, "loss": "dpo"}


@pytest.mark.parametrize("loss", ["dpo", pytest.param("ipo", marks=OTHERS)])
def test_it_learns_from_rankings_to_answer_better(loss):
    reference = tiny.beginner(WORLD)
    learner, history = tiny.trained(dpo.METHOD, WORLD, Stages(reference), 60, **SMALL | {"loss": loss, "max_kl": 0.0})
    before, after = (of_answers(policy.answer(["d"] * 400, np.random.default_rng(0)), WORLD.task, reference)
                     for policy in (reference, learner.policy))
    assert after["reward"] > before["reward"] + 1 and after["kl"] > .15 and abs(before["kl"]) < 1e-6
    assert history[-1]["preferred"] > .7 and history[-1]["margin"] > 0
    assert set(learner.report()) >= {"held_out_accuracy", "reward", "kl"}


def test_the_reference_stays_where_it_was():
    reference, fresh = tiny.beginner(WORLD), tiny.beginner(WORLD)
    learner, _ = tiny.trained(dpo.METHOD, WORLD, Stages(reference), 3, **SMALL)
    for name, parameter in reference.model.parameters().items():
        assert_array_equal(parameter.data, fresh.model.parameters()[name].data)
    assert (learner.model.parameters()["wte.weight"].data != fresh.model.parameters()["wte.weight"].data).any()


@pytest.mark.compiled_only("what stops a run is a comparison of two numbers")
def test_max_kl_stops(monkeypatch):
    monkeypatch.setattr(dpo, "LOOK", 10)
    settings = SMALL | {"lr": 3e-3, "beta": .02}
    looks = []
    for _, figures in dpo.METHOD.learn(WORLD, Stages(tiny.beginner(WORLD)), 200, **settings, max_kl=.5):
        if "kl" in figures:
            looks.append(figures)
        if figures.get("enough"):
            break
    assert looks[-1]["enough"] and looks[-1]["kl"] > .5
    assert all(not look["enough"] and look["kl"] <= .5 for look in looks[:-1])
    assert len(looks) * 10 < 200
    on, history = tiny.trained(dpo.METHOD, WORLD, Stages(tiny.beginner(WORLD)), 40, **settings, max_kl=0.0)
    assert not any(figures.get("enough") for figures in history) and on.facts == {"steps": 40}
    assert [n + 1 for n, figures in enumerate(history) if "kl" in figures] == [10, 20, 30, 40]
    assert history[-1]["kl"] > .5


@pytest.mark.compiled_only("who is asked does not depend on the backend")
def test_a_reward_model_and_dpo_are_told_the_same(monkeypatch):
    heard = []
    gathered = feedback.gathered
    monkeypatch.setattr(feedback, "gathered", lambda *args, **more: heard.append(gathered(*args, **more)) or heard[-1])
    same = {name: SMALL[name] for name in ("rankings", "answers", "noise")}
    tiny.trained(reward_model.METHOD, WORLD, Stages(tiny.beginner(WORLD)), 1, **same)
    tiny.trained(dpo.METHOD, WORLD, Stages(tiny.beginner(WORLD)), 1, **same)
    one, _, other = heard                       # the second is held out, for the reward model to be measured on
    assert one.batch.prompts == other.batch.prompts and one.batch.texts == other.batch.texts
    assert_array_equal(one.batch.rows.tokens, other.batch.rows.tokens)


def test_their_defaults_are_the_same_too():
    ours, theirs = ({choice.name: choice.defaults for choice in method.choices}
                    for method in (dpo.METHOD, reward_model.METHOD))
    assert all(ours[name] == theirs[name] for name in ("rankings", "answers", "noise"))


@pytest.mark.compiled_only("what is looked at does not depend on the backend")
@pytest.mark.parametrize("loss", dpo.LOSSES)
def test_training_never_looks_at_the_gold_reward(loss, monkeypatch):
    gathered = feedback.gathered
    seeing, _ = tiny.trained(dpo.METHOD, WORLD, Stages(tiny.beginner(WORLD)), 4, **SMALL | {"loss": loss})
    nothing = np.full((SMALL["rankings"], SMALL["answers"]), np.nan)
    monkeypatch.setattr(feedback, "gathered", lambda *args, **more: replace(
        gathered(*args, **more), rewards=nothing, grades=nothing))
    blind, _ = tiny.trained(dpo.METHOD, WORLD, Stages(tiny.beginner(WORLD)), 4, **SMALL | {"loss": loss})
    for name, parameter in seeing.model.parameters().items():
        assert_array_equal(blind.model.parameters()[name].data, parameter.data)


@pytest.mark.parametrize(("settings", "message"), [
    ({"answers": 1}, "answers is 1; expected an integer >= 2"), ({"rankings": 0}, "rankings is 0"),
    ({"beta": 0.0}, "beta is 0.0; expected a finite number > 0"), ({"loss": "kto"}, "loss is 'kto'; expected"),
    ({"max_kl": -1.0}, "max_kl is -1.0; expected a finite number >= 0"), ({"batch": 0}, "batch is 0")])
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        tiny.trained(dpo.METHOD, WORLD, Stages(tiny.beginner(WORLD)), 1, **SMALL | settings)


def test_rows_are_no_wider_than_their_longest_answer():
    """So what a step costs depends on the pairs that were drawn."""
    policy, ref, rows = students()
    short = Rows(np.pad(rows.tokens, ((0, 0), (0, 3))), np.pad(rows.mask, ((0, 0), (0, 3))), rows.lengths)
    ours, padded = stepped(policy, ref, rows, [0, 7]), stepped(policy, ref, short, [0, 7])
    for name, gradient in ours[0].items():
        assert_array_equal(gradient, padded[0][name])

"""Supervised fine-tuning: the loss on the answers' tokens alone, and how far imitation goes.

Cross-entropy per token is least where the model says what its teacher says, as often: a teacher who repeats a letter
2 times in 5 and says the next one else makes a model that is right with probability .4 when sampled and never
when it is greedy.  What is left of the loss is the teacher's entropy, -.4 log .4 - .6 log .6 = .673 nats an answer
of two tokens, .337 a token.
"""
import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import tiny_policy as tiny
from rlscratch import kernels
from rlscratch.autograd import functions as f
from rlscratch.tasks.task import Task
from rlscratch.train.language import policy as path
from rlscratch.train.language import sft
from rlscratch.train.language.policy import outputs

END = tiny.chat("abc").end


def stepped(at_once=None):
    """One step on four pairs that rng draws; the gradient, the figures, the rows."""
    some, rng = tiny.policy("abc"), np.random.default_rng(3)
    rows = some.chat.rows(["a", "bb", "", "ca"], ["ab", "", "c", "bca"])
    chosen = rows.at(rng.integers(4, size=6))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(path, "AT_ONCE", at_once or path.AT_ONCE)
        patch.setattr(path, "clip_grad_norm", lambda optimizer, max_norm: 0.0)
        figures = sft.step(some.model, tiny.still(some.model), rows, np.random.default_rng(3), batch=6)
    return tiny.gradients(some.model), figures, some.model, chosen


def loss_on_the_graph(model, rows, mask):
    return f.sum(model.logp(rows.tokens) * mask) * (-1 / mask.sum())


@pytest.mark.parametrize("at_once", [None, 2, 1])
def test_a_step_is_the_gradient_of_the_mean_over_the_answers_tokens(at_once):
    gradient, figures, model, rows = stepped(at_once)
    loss = loss_on_the_graph(model, rows, rows.mask)
    assert_allclose(figures["loss"], loss.item(), rtol=1e-12)
    assert_allclose(gradient, tiny.by_graph(model, loss), rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("planted", ["prompts too", "no end", "padding too"])
def test_another_mask_would_be_seen(planted):
    gradient, _, model, rows = stepped()
    before = np.arange(rows.tokens.shape[1]) < rows.lengths[:, None]
    mask = {"prompts too": before * 1.0, "no end": rows.mask * (rows.tokens != END), "padding too": rows.mask + ~before}
    assert (rows.tokens == END).any() and not before.all()
    assert not np.allclose(gradient, tiny.by_graph(model, loss_on_the_graph(model, rows, mask[planted])), rtol=1e-3)


def test_weights_made_for_each_part_would_be_seen(monkeypatch):
    right = stepped(2)[0]
    monkeypatch.setattr(sft, "token_mean", lambda mask: mask / mask.sum(axis=1, keepdims=True) / len(mask))
    assert not np.allclose(stepped(2)[0], right, rtol=1e-3)


@pytest.mark.compiled_only("NumPy's kernels use one thread")
def test_the_same_seed_makes_the_same_step_whatever_the_threads():
    before, found = kernels.threads(), []
    try:
        for threads in (1, 2):
            kernels.set_threads(threads)
            found.append(tiny.taught().model.parameters())
    finally:
        kernels.set_threads(before)
    for one, other in zip(*(parameters.values() for parameters in found), strict=True):
        assert_array_equal(one.data, other.data)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_model_imitates_its_teacher_mistakes_included(seed):
    some = tiny.taught(seed)
    rows = some.chat.rows(list("abcabc"), list("abcbca"))
    said = np.exp(outputs(some.model, rows)["logp"].sum(axis=1))
    assert_allclose(said[:3], 0.4, atol=0.2)
    assert (said[:3] + said[3:] > 0.9).all()
    left = -math.fsum(p * math.log(p) for p in (0.4, 0.6)) / 2
    again = some.chat.rows(list("aaaaabbbbbccccc"), list("aabbbbbcccccaaa"))
    assert left - 1e-6 < -(outputs(some.model, again)["logp"].sum() / again.mask.sum()) < left + 0.1


@pytest.mark.parametrize("batch", [0, -1])
def test_a_step_on_no_pairs_is_refused(batch):
    some = tiny.policy()
    with pytest.raises(ValueError, match=f"batch is {batch}; expected an integer >= 1"):
        sft.step(some.model, tiny.still(some.model), some.chat.rows(["a"], ["b"]), np.random.default_rng(0),
                 batch=batch)


@pytest.mark.parametrize(("chosen", "message"), [({"batch": 0}, "batch is 0; expected an integer >= 1"),
                                                 ({"share": 0.0}, "share is 0.0; expected a finite number > 0")])
def test_to_imitate_nothing_beside_is_refused(chosen, message):
    with pytest.raises(ValueError, match=message):
        sft.beside(tiny.policy().chat.rows(["a"], ["b"]), **{"batch": 2, "share": 0.5} | chosen)


# ---------------------------------------------------------------- the method

def test_the_method_learns_a_task_of_the_documents():
    steps = list(sft.METHOD.learn(tiny.world(), steps=40, shown=20, batch=16, lr=0.02))
    learner, losses = steps[-1][0], [figures["loss"] for _, figures in steps]
    assert losses[-1] < losses[0] / 3
    report = learner.report()
    assert {"training_prompt_accuracy", "training_prompt_accuracy_greedy", "teacher_accuracy", "reward"} <= set(report)
    assert "held_out_accuracy" not in report                    # the one prompt is what it was trained on
    assert learner.policy.model is learner.model and learner.chat is learner.policy.chat


@pytest.mark.parametrize("name", ["ice-cream-text", "capital-of-france-text"])
def test_every_answer_of_the_teacher_can_be_written_though_there_is_one_prompt_alone(name):
    world = tiny.world(name)
    chat = world.chat()
    for answer in world.task.demonstrations(world.task.prompts * 50, np.random.default_rng(0)):
        assert chat.text(chat.answer(answer)) == answer


def test_a_teacher_who_says_more_than_the_policy_may_is_refused_before_training():
    task = Task("talk", ("long ago", "now"), lambda prompt, answer: 0.0, lambda prompt, answer: True,
                teacher=lambda prompt, _: {"long ago": "yes", "now": "no way"}[prompt])
    with pytest.raises(ValueError, match="the number of tokens of the teacher's longest answer is 7; expected at most "
                                         "4, as many as the policy may say"):
        next(sft.METHOD.learn(replace(tiny.world(max_new_tokens=4), task=task), steps=1))
    with pytest.raises(ValueError, match=r"the tokens of answers\[.*\], '.*', and its prompt is .*; expected at most"):
        next(sft.METHOD.learn(tiny.world(max_new_tokens=4), steps=1))


def test_a_task_without_a_teacher_is_refused():
    world = tiny.world()
    with pytest.raises(ValueError, match=r"task\.teacher is None; expected somebody who shows how"):
        next(sft.METHOD.learn(replace(world, task=replace(world.task, teacher=None)), steps=1))

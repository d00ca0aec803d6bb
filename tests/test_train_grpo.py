"""GRPO on a transformer: its variants, their gradients, what a group teaches on average.

With G answers from pi and weights 1/B the mean over all groups of the gradient of a step is, in every parameter,

    leave-one-out          - grad J                        J = E[R]; with k1 in the reward J = E[R] - beta KL(pi || ref)
    centred, 1/(B L)       - (1 - 1/G) grad J / L

The policy here has 31 answers: 1 that ends at once, 5 of one token and an end, 25 of two tokens that were cut.
"""
from dataclasses import replace
from itertools import combinations_with_replacement

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import tiny_policy as tiny
from derivatives import complex_step
from rlscratch import kernels
from rlscratch.autograd import functions as f
from rlscratch.formulas import grpo as formulas
from rlscratch.formulas import ppo, weights
from rlscratch.formulas.policy_gradient import leave_one_out_baseline
from rlscratch.optim import SGD, AdamW
from rlscratch.tasks.task import RewardError
from rlscratch.train import on_policy
from rlscratch.train.language import grpo, sft
from rlscratch.train.language import policy as path
from rlscratch.train.language.method import Stages
from rlscratch.train.language.policy import Experience, Policy, copied, outputs
from rlscratch.train.on_policy import MOST
from rlscratch.train.variants import REDRAWS, VARIANTS, Variant, variant

LONGEST = 2
NAMES = tuple(VARIANTS)
OTHERS = pytest.mark.compiled_only("one variant is run on NumPy, too")


def z(r):
    return (r - r.mean(axis=1, keepdims=True)) / r.std(axis=1, ddof=1, keepdims=True)


# The table of formulas.grpo, a call each: advantage, weight (L = 7), loss.
TABLE = {
    "document": (z, weights.sequence_mean, lambda logp, old, ref, A, w: formulas.grpo_loss(logp, A, w)),
    "grpo": (z, weights.sequence_mean, lambda logp, old, ref, A, w: formulas.grpo_clip_loss(logp, old, ref, A, w)),
    "dr_grpo": (lambda r: r - r.mean(axis=1, keepdims=True), lambda mask: weights.constant_length(mask, 7),
                lambda logp, old, ref, A, w: ppo.ppo_clip_loss(logp, old, A, w)),
    "dapo": (z, weights.token_mean, lambda logp, old, ref, A, w: ppo.ppo_clip_loss(logp, old, A, w, 0.2, 0.28)),
    "rloo": (lambda r: r - leave_one_out_baseline(r), weights.sequence_sum,
             lambda logp, old, ref, A, w: formulas.grpo_loss(logp, A, w)),
    "gspo": (z, weights.sequence_mean, lambda logp, old, ref, A, w: formulas.gspo_loss(logp, old, A, w)),
    "cispo": (z, weights.token_mean, lambda logp, old, ref, A, w: formulas.cispo_loss(
        logp, ppo.ratio(np.real(logp), old), A, w, 1, 4)),
}


# ---------------------------------------------------------------- the table

@pytest.mark.parametrize("name", NAMES)
def test_each_preset_is_its_row_of_the_table(name):
    preset, (advantage, weight, loss) = VARIANTS[name], TABLE[name]
    rng = np.random.default_rng(0)
    rewards = rng.standard_normal((2, 3))
    mask = np.array([[0, 1, 1, 1]] * 3 + [[0, 1, 1, 0], [1, 0, 0, 0], [0, 1, 0, 1]])
    A = preset.advantage(rewards)
    assert_allclose(A, advantage(rewards), rtol=1e-12)
    w = preset.weights(mask, 7)
    assert_allclose(w, weight(mask), rtol=1e-15)
    near = 1e-4 if name == "gspo" else 0.15        # such that no ratio lies on a bound and some lie on either side
    old, ref = (mask * (near * k * rng.standard_normal(mask.shape) - 1) for k in (2, 1))
    logp = mask * -np.ones(mask.shape)
    A = A.reshape(-1, 1)
    assert_allclose(preset.seed(logp, old, ref, A, w), complex_step(lambda x: loss(x, old, ref, A, w), logp),
                    rtol=1e-9, atol=1e-15)


def test_the_presets_are_those_of_the_table_and_where_their_kl_counts():
    assert set(VARIANTS) == set(TABLE) and all(name == one.name for name, one in VARIANTS.items())
    assert {name: (one.beta, one.kl_in_loss) for name, one in VARIANTS.items() if one.beta} == {
        "grpo": (0.04, True), "rloo": (0.05, False)}
    assert [name for name, one in VARIANTS.items() if one.redraw] == ["dapo"]
    assert {name: (one.eps_low, one.eps_high) for name, one in VARIANTS.items() if one.eps_low is not None} == {
        "grpo": (0.2, 0.2), "dr_grpo": (0.2, 0.2), "dapo": (0.2, 0.28), "gspo": (3e-4, 4e-4), "cispo": (1.0, 4.0)}
    assert {name for name, one in VARIANTS.items() if one.kl_in_loss} == {"grpo", "dr_grpo", "dapo"}


def test_the_objective_that_the_paper_prints_is_the_function_that_training_calls():
    assert VARIANTS["grpo"].grad is formulas.grpo_clip_grad and VARIANTS["grpo"].loss is formulas.grpo_clip_loss
    assert VARIANTS["document"].grad is formulas.grpo_grad and VARIANTS["gspo"].grad is formulas.gspo_grad
    assert all(one.advantage.__module__.startswith("rlscratch.formulas") for one in VARIANTS.values()
               if not hasattr(one.advantage, "func"))


@pytest.mark.parametrize(("changes", "error", "message"), [
    ({"grad": "clip"}, TypeError, "grad is 'clip'; expected a function"),
    ({"loss": formulas.grpo_loss}, ValueError, "grad is .*; expected a function with the arguments of loss"),
    ({"eps_low": None}, ValueError, "eps_low is None; expected a number if the loss has a clip range"),
    ({"eps_high": -1.0}, ValueError, "eps_high is -1.0; expected a finite number >= 0"),
    ({"kl": "reward"}, TypeError, "unexpected keyword argument 'kl'"),
])
def test_a_variant_that_does_not_fit_together_cannot_be_made(changes, error, message):
    with pytest.raises(error, match=message):
        replace(VARIANTS["grpo"], **changes)
    assert isinstance(replace(VARIANTS["grpo"], beta=0.0), Variant)


@pytest.mark.parametrize("name", NAMES)
def test_a_token_is_dropped_where_the_surrogate_has_no_slope_and_nowhere_else(name):
    logp, mask = np.log([[0.5] * 4] * 2), np.array([[1, 1, 1, 0]] * 2)
    old = np.log([[0.3, 0.5, 0.9, 0.5]] * 2)
    dropped = VARIANTS[name].clipped_tokens(logp, old, np.array([[1.0], [0.0]]), mask / 6)
    sequence = name == "gspo" and [False] * 3                   # its geometric mean .9749 is below 1, and A > 0
    assert dropped[0].tolist() == [*(sequence or [name in ("grpo", "dr_grpo", "dapo"), False, False]), False]
    assert not dropped[1].any()
    dropped = VARIANTS["gspo"].clipped_tokens(logp, old, -np.ones((2, 1)), mask / 6)
    assert dropped[0].tolist() == [True, True, True, False]


def test_a_preset_takes_other_numbers_and_refuses_what_is_none():
    assert variant("dapo", eps_high=0.3, beta=0.5, eps_low=1) == replace(
        VARIANTS["dapo"], eps_high=0.3, beta=0.5, eps_low=1)
    assert variant("grpo", beta=None) is not None and variant("grpo", beta=0.0).beta == 0
    for given, message in (({"eps_low": 1.5}, r"eps_low is 1.5; expected a number in \[0, 1\]"),
                           ({"beta": -1}, "beta is -1; expected a finite number >= 0"),
                           ({"eps_high": np.inf}, "eps_high is inf; expected")):
        with pytest.raises(ValueError, match=message):
            variant("grpo", **given)
    with pytest.raises(ValueError, match=r"eps_high is 0.3; .* if the loss has a clip range, else None; rloo has none"):
        variant("rloo", eps_high=0.3)
    with pytest.raises(ValueError, match="variant is 'gpro'; expected one of 'document', 'grpo', 'dr_grpo', 'dapo', "
                                         "'gspo', 'cispo', 'rloo'"):
        variant("gpro")


def test_a_kl_in_the_reward_is_charged_beside_the_advantage_and_its_rounding_is_not_blown_up():
    k1, r = np.array([0.5, 0.0, -0.25, 0.25]), np.array([[1.0, 0, 0, 3]])
    for name in ("document", "gspo", "cispo", "rloo"):
        some = variant(name, beta=0.5)
        charged = leave_one_out_baseline(k1) - k1                       # minus what it exceeds the others by
        assert_allclose(some.advantages(r, k1)[:, 0], some.advantage(r)[0] + 0.5 * charged, rtol=1e-12)
        flat = some.advantages(np.full((1, 4), -10.0), 1e-7 * k1)
        assert np.abs(flat).max() < 1e-7
    assert_allclose(variant("rloo", beta=0.5).advantages(r, k1)[:, 0],
                    (r - 0.5 * k1 - leave_one_out_baseline(r - 0.5 * k1))[0], rtol=1e-12)


# ---------------------------------------------------------------- gradients, against the graph

def off_policy(name):
    """Three groups of six, an older policy and a reference.

    Rows 0 and 2 are twins, whom the clip drops, and 9 and 11; the third group has the first one's prompt and answers.
    """
    some = tiny.policy(longest=3, temperature=0.7)
    end = some.chat.end
    group = [[0, end], [1, end], [0, end], [0, 1, 0], [end], [1, 1, end]]
    batch = tiny.batch(some, ["a"] * 6 + ["bb"] * 6 + ["a"] * 6, group + group[::-1] + group)
    old = tiny.perturbed(batch.logp, batch.rows.mask, 1, 4e-4 if name == "gspo" else 0.3)
    old[0] = (batch.logp - 0.3 * batch.rows.mask)[0]
    old[2], old[11], old[14] = old[0], old[9], old[12]
    reference = tiny.policy(longest=3, temperature=0.7, seed=7)
    rewards = np.array([[1.0, 0, 1, 3, -2, 0.5], [0.25, 3, -1, 0, 0, 0], [1, 2, 1, 0, 5, 0]])
    A = VARIANTS[name].advantage(rewards).reshape(-1, 1)
    return some, Experience.of(replace(batch, logp=old), reference.logp(batch.rows), A)


def gradient_of(some, found, preset, minibatches=1, at_once=None, **beside):
    """The gradient of the last minibatch of an epoch, by grpo.learn; and what it says."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(on_policy, "MOST", np.inf)
        patch.setattr(path, "AT_ONCE", at_once or path.AT_ONCE)
        figures = grpo.learn(some, tiny.still(some.model), found, np.random.default_rng(0), variant=preset,
                             epochs=1, minibatches=minibatches, max_norm=tiny.FREE, **beside)
    return tiny.gradients(some.model), figures


def learned(name, at_once=None, **changes):
    return gradient_of(*off_policy(name), replace(VARIANTS[name], **changes), at_once=at_once)


def composed(name):
    """The loss of the variant written on the graph, term by term, from the papers' equations."""
    some, found = off_policy(name)
    preset, mask, old, ref, A = VARIANTS[name], found.rows.mask, found.logp_old, found.logp_ref, found.advantage
    n, B = mask.sum(axis=1, keepdims=True), len(mask)
    w = mask * {"document": 1 / (B * n), "grpo": 1 / (B * n), "gspo": 1 / (B * n), "dr_grpo": 1 / (B * 3),
                "dapo": 1 / n.sum(), "cispo": 1 / n.sum(), "rloo": 1 / B}[name]
    logp = some.model.logp(found.rows.tokens, 0.7) * mask
    ratio = f.exp(f.sum((logp - old) / n, axis=1, keepdims=True) if name == "gspo" else logp - old)
    clipped = f.minimum(f.maximum(ratio, 1 - (preset.eps_low or 0)), 1 + (preset.eps_high or 0))
    if name in ("document", "rloo"):
        loss = f.sum(logp * (w * A)) * -1.0
    elif name == "cispo":
        loss = f.sum(logp * (w * A * clipped.data)) * -1.0
    else:
        loss = f.sum(f.minimum(ratio * A, clipped * A) * (1 / B if name == "gspo" else w)) * -1.0
    if name == "grpo":
        loss = loss + f.sum((f.exp(ref - logp) - 1.0 - (ref - logp)) * (0.04 * w))
    return tiny.by_graph(some.model, loss)


@pytest.mark.parametrize("at_once", [None, 3])
@pytest.mark.parametrize("name", NAMES)
def test_a_step_s_gradient_is_that_of_the_loss_on_the_graph(name, at_once):
    gradient, figures = learned(name, at_once)
    assert_allclose(gradient, composed(name), rtol=1e-9, atol=1e-13)
    some, found = off_policy(name)
    dropped = VARIANTS[name].clipped_tokens(some.logp(found.rows), found.logp_old, found.advantage,
                                            VARIANTS[name].weights(found.rows.mask, 3))
    assert figures["clip_fraction"] == pytest.approx(dropped.sum() / found.tokens)
    assert dropped[[0, 2]].any() == dropped.any() == (name in ("grpo", "dr_grpo", "dapo", "gspo"))


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_made_for_a_minibatch_as_if_it_were_all(name):
    some, found = off_policy(name)
    last = np.array_split(np.random.default_rng(0).permutation(len(found)), 3)[-1]
    part, _ = gradient_of(some, found, VARIANTS[name], minibatches=3)
    alone, _ = gradient_of(some, found.at(last), VARIANTS[name])
    assert_allclose(part, alone, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize(("name", "planted"), [
    ("grpo", {"beta": 0.0}), ("grpo", {"eps_low": 0.1}), ("cispo", {"eps_high": 0.2}),
    ("gspo", {"loss": ppo.ppo_clip_loss, "grad": ppo.ppo_clip_grad}),
    ("rloo", {"loss": formulas.grpo_clip_loss, "grad": formulas.grpo_clip_grad, "eps_low": 0.2, "eps_high": 0.2}),
    ("dapo", {"weight": VARIANTS["grpo"].weight}),
    ("dr_grpo", {"loss": formulas.grpo_loss, "grad": formulas.grpo_grad, "clipped": None, "eps_low": None,
                 "eps_high": None})])
def test_another_variant_s_part_would_be_seen(name, planted):
    assert not np.allclose(learned(name, **planted)[0], composed(name), rtol=1e-5)


def test_a_lost_twin_would_be_seen(monkeypatch):
    merged = Experience.merged

    def forgetful(found):
        one = merged(found)
        return replace(one, weight=one.weight / one.copies[:, None])

    monkeypatch.setattr(Experience, "merged", forgetful)
    assert not np.allclose(learned("grpo")[0], composed("grpo"), rtol=1e-5)


# ---------------------------------------------------------------- expectations, by enumeration

def enumerated(preset, temperature=1.0, letters="ab", group=2, longest=LONGEST):
    """The mean over all groups of a step's gradient, through grpo.step; and the gradient of J by the graph."""
    some = tiny.policy(letters, longest, temperature)
    batch, probs = tiny.everything(some)
    reference = tiny.policy(letters, longest, temperature, seed=7).model
    rewards = dict(zip(batch.texts, np.random.default_rng(3).integers(-8, 9, len(batch)) / 8, strict=True))
    worth = {(text, cut): rewards[text] + cut for text, cut in zip(batch.texts, batch.cut, strict=True)}

    def score(found):
        return [worth[one] for one in zip(found.texts, found.cut, strict=True)]

    mean, optimizer = 0, tiny.still(some.model)
    for members in combinations_with_replacement(range(len(batch)), group):
        orders = np.prod(range(1, group + 1)) / np.prod([np.prod(range(1, members.count(i) + 1)) for i in set(members)])
        actor = tiny.scripted(some, batch.at(np.array(members)))
        optimizer.zero_grad()
        grpo.step(actor, reference, optimizer, score, ["a"], np.random.default_rng(0), variant=preset, groups=1,
                  group=group, max_norm=tiny.FREE)
        mean = mean + orders * probs[list(members)].prod() * tiny.gradients(some.model)
    R = np.array(score(batch))
    ref = outputs(reference, batch.rows, temperature)["logp"].sum(axis=1)
    p = tiny.probabilities(some, batch)
    J = f.sum(p * R)
    if not preset.kl_in_loss:
        J = J - f.sum(p * (f.log(p) - ref)) * preset.beta
    return mean, tiny.by_graph(some.model, J)


@pytest.mark.parametrize(("name", "temperature"), [pytest.param("rloo", 1.0, marks=OTHERS), ("rloo", 0.7),
                                                   ("dr_grpo", 1.0)])
def test_the_mean_over_all_groups_of_two_is_the_gradient_of_the_objective(name, temperature):
    mean, slope = enumerated(variant(name, **{"beta": 0.5} if name == "rloo" else {}), temperature, letters="a")
    factor = {"rloo": 1, "dr_grpo": (1 - 1 / 2) / LONGEST}[name]
    assert_allclose(mean, -factor * slope, rtol=1e-9, atol=1e-12)
    assert np.abs(slope).max() > 0.01 and not np.allclose(mean, -1.001 * factor * slope, rtol=1e-5)


@pytest.mark.parametrize(("name", "factor"), [("rloo", 1), ("dr_grpo", 1 - 1 / 3)])
def test_in_groups_of_three_the_factor_is_two_thirds(name, factor):
    mean, slope = enumerated(variant(name), group=3, longest=1)
    assert_allclose(mean, -factor * slope, rtol=1e-9, atol=1e-12)


def test_dividing_by_the_deviation_turns_the_mean_gradient():
    mean, slope = enumerated(replace(variant("document"), weight=VARIANTS["rloo"].weight), letters="a", longest=1)
    assert -mean @ slope / np.sqrt((mean @ mean) * (slope @ slope)) < 0.999


# ---------------------------------------------------------------- groups

def counting(some, flat):
    """A policy that notes what it was asked, and a score that is flat on the prompts of `flat`."""
    asked = []

    class Noted(Policy):
        def answer(self, prompts, rng, temperature=None):
            asked.append(super().answer(prompts, rng, temperature))
            return asked[-1]

    return (Noted(some.model, some.chat, some.max_new_tokens), asked,
            lambda batch: [0.0 if p in flat else float(i % 2) for i, p in enumerate(batch.prompts)])


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"dapo"}))
def test_flat_groups_stay_in_the_batch_and_teach_by_their_kl_alone(name):
    some = tiny.policy()
    before = some.model.parameters()["wte.weight"].data.copy()
    actor, asked, score = counting(some, ["a", "b"])
    for reference, moves in ((copied(some.model), False), (tiny.policy(seed=7).model, VARIANTS[name].beta > 0)):
        figures = grpo.step(actor, reference, SGD(some.model.parameters(), 0.1), score, ["a", "b"],
                            np.random.default_rng(0), variant=VARIANTS[name], groups=2, group=4)
        assert figures["flat_groups"] == 1 and (figures["gradient_norm"] > 1e-9) == moves
        moved = np.abs(some.model.parameters()["wte.weight"].data - before).max()
        assert moved > 1e-9 if moves else moved < 1e-12         # on NumPy a batch of another shape rounds otherwise
    assert [len(batch) for batch in asked] == [8, 8]


def test_what_is_imitated_beside_adds_its_share_of_its_gradient_to_every_step_s():
    some, found = off_policy("document")
    rows, drawn = some.chat.rows(["a", "bb", ""], ["ab", "b", "ba"]), np.random.default_rng(0)
    alone, _ = gradient_of(some, found, VARIANTS["document"])
    both, figures = gradient_of(some, found, VARIANTS["document"], beside=sft.beside(rows, batch=4, share=0.3))
    drawn.permutation(len(found))
    chosen = rows.at(drawn.integers(3, size=4))
    imitated = tiny.by_graph(some.model, f.sum(some.model.logp(chosen.tokens) * chosen.mask) * (-1 / chosen.mask.sum()))
    assert_allclose(both, alone + 0.3 * imitated, rtol=1e-9, atol=1e-13)
    assert_allclose(figures["gradient_norm"], np.linalg.norm(both))
    assert np.abs(imitated).max() > 0.01


def test_the_method_imitates_what_the_stages_say():
    counted, world = [], tiny.world()
    chat = world.chat()
    stages = Stages(Policy(world.model(chat), chat, world.recipe.max_new_tokens),
                    beside=lambda model, rng: counted.append(model))
    for learner, _ in grpo.METHOD.learn(world, stages, 2, groups=2, group=4, epochs=2, variant="grpo"):
        assert counted[-2:] == [learner.model] * 2
    assert len(counted) == 4


def test_a_flat_group_takes_part_in_the_size_of_the_step():
    some, found = off_policy("document")
    alone, _ = gradient_of(some, found.at(np.arange(6)), VARIANTS["document"])
    A = np.r_[found.advantage[:6], 0 * found.advantage[6:]]
    among, _ = gradient_of(some, replace(found, advantage=A), VARIANTS["document"])
    assert_allclose(alone * 6, among * 18, rtol=1e-9, atol=1e-13)


def test_other_prompts_are_drawn_in_the_place_of_flat_groups_a_few_times():
    actor, asked, score = counting(tiny.policy(), ["a"])
    batch, rewards, figures = grpo.collect(actor, score, ["a", "b"], np.random.default_rng(0), 8, 2, REDRAWS)
    flat = [drawn.prompts.count("a") for drawn in asked]
    assert 1 < len(asked) <= 1 + REDRAWS
    assert [len(drawn) for drawn in asked] == [16, *flat[:-1]]      # as many as were flat, no more
    assert len(batch) == 16 and rewards.shape == (8, 2) and batch.prompts.count("a") == flat[-1]
    assert_array_equal(rewards.ravel(), [0.0 if p == "a" else i % 2 for i, p in enumerate(batch.prompts)])
    first = flat[0] / 16                                            # the figures are of what was drawn first
    assert figures["flat_groups"] == first and figures["reward"] == (1 - first) / 2
    assert figures["tokens"] == sum(drawn.tokens for drawn in asked) > batch.tokens


def test_where_all_stay_flat_drawing_ends_and_nothing_is_learned():
    some = tiny.policy()
    actor, asked, score = counting(some, ["a", "b"])
    before = some.model.parameters()["wte.weight"].data.copy()
    figures = grpo.step(actor, some.model, AdamW(some.model.parameters(), 1.0), score, ["a", "b"],
                        np.random.default_rng(0), variant=VARIANTS["dapo"], groups=3, group=2)
    assert [len(batch) for batch in asked] == [6] * (1 + REDRAWS)
    assert_array_equal(some.model.parameters()["wte.weight"].data, before)
    assert figures["gradient_norm"] == figures["clip_fraction"] == 0 and figures["flat_groups"] == 1


# ---------------------------------------------------------------- steps

def length_score(batch):
    """Characters of an answer, in which marks are long."""
    return [len(text) / 8 for text in batch.texts]


def stepped(preset, *, lr=0.5, optimizer=SGD, **options):
    some = tiny.policy("abc", dtype=options.pop("dtype", np.float64))
    figures = grpo.step(some, tiny.policy("abc", seed=7, dtype=some.model.dtype).model,
                        optimizer(some.model.parameters(), lr), length_score, ["a", "b", "c"],
                        np.random.default_rng(5), variant=preset, **{"groups": 3, "group": 8, **options})
    return some.model, figures


def test_the_first_step_of_grpo_without_kl_is_the_document_s():
    models = [stepped(preset)[0] for preset in (variant("document"), variant("grpo", beta=0.0))]
    for one, other in zip(*(model.parameters().values() for model in models), strict=True):
        assert_allclose(one.data, other.data, rtol=1e-9, atol=1e-14)
    apart = [stepped(preset, epochs=3)[0].parameters()["wte.weight"].data
             for preset in (variant("document"), variant("grpo", beta=0.0))]
    assert np.abs(apart[0] - apart[1]).max() > 1e-9


@pytest.mark.compiled_only("NumPy's kernels use one thread")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_same_seed_makes_the_same_step_whatever_the_threads(dtype):
    before, found = kernels.threads(), []
    try:
        for threads in (1, 2):
            kernels.set_threads(threads)
            found.append(stepped(VARIANTS["grpo"], dtype=dtype, epochs=2, minibatches=3, optimizer=AdamW, lr=0.01))
    finally:
        kernels.set_threads(before)
    assert found[0][1] == found[1][1]
    for one, other in zip(*(model.parameters().values() for model, _ in found), strict=True):
        assert one.dtype == dtype
        assert_array_equal(one.data, other.data)


def test_the_figures_of_a_step_say_what_happened():
    _, figures = stepped(VARIANTS["grpo"])
    assert set(figures) == {"reward", "flat_groups", "tokens", "kl", "entropy", "cut", "answer_length", "gradient_norm",
                            "clip_fraction", "ratio_deviation"}
    assert figures["tokens"] == round(24 * figures["answer_length"]) and figures["ratio_deviation"] < 1e-12
    assert figures["clip_fraction"] == figures["flat_groups"] == 0 < figures["gradient_norm"]
    assert 0 < figures["entropy"] < np.log(20)


def test_answers_of_another_policy_stop_the_step_before_it_changes_anything():
    some, found = off_policy("grpo")
    end = some.chat.end
    batch = replace(tiny.batch(some, ["a"] * 6, [[0, end], [1, end], [0, end], [0, 1, 0], [end], [1, 1, end]]),
                    logp=found.at(np.arange(6)).logp_old)
    before = some.model.parameters()["wte.weight"].data.copy()
    with pytest.raises(RuntimeError, match=r"before the update a ratio is .* away from 1"):
        grpo.step(tiny.scripted(some, batch), some.model, SGD(some.model.parameters(), 1.0),
                  lambda found: range(len(found)), ["a"], np.random.default_rng(0), variant=VARIANTS["grpo"], groups=1,
                  group=6)
    assert_array_equal(some.model.parameters()["wte.weight"].data, before)


@pytest.mark.parametrize(("changes", "error", "message"), [
    ({"group": 1}, ValueError, "group is 1; expected an integer >= 2"),
    ({"groups": 0}, ValueError, "groups is 0; expected an integer >= 1"),
    ({"epochs": 0}, ValueError, "epochs is 0"), ({"minibatches": 1.5}, TypeError, "minibatches is 1.5"),
    ({"max_norm": 0}, ValueError, "max_norm is 0"),
    ({"prompts": []}, ValueError, r"prompts is \[\]; expected at least one text"),
    ({"score": lambda batch: [1.0]}, RewardError, r"the rewards have the shape \(1,\); expected the shape \(4,\)"),
    ({"score": lambda batch: [0, 1, np.nan, 1]}, RewardError, "the reward of the answer .* to the prompt 'a' is nan"),
])
def test_bad_arguments_are_named_before_anything_is_learned(changes, error, message):
    some = tiny.policy()
    before = some.model.parameters()["wte.weight"].data.copy()
    given = {"score": lambda batch: range(len(batch)), "prompts": ["a"], "groups": 2, "group": 2} | changes
    with pytest.raises(error, match=message):
        grpo.step(some, some.model, SGD(some.model.parameters(), 1.0), rng=np.random.default_rng(0),
                  variant=VARIANTS["grpo"], **given)
    assert_array_equal(some.model.parameters()["wte.weight"].data, before)


# ---------------------------------------------------------------- learning

@pytest.fixture(scope="module")
def taught():
    """The teacher's pupil; whoever trains it on takes a copy."""
    return tiny.taught()


@pytest.mark.parametrize("name", [pytest.param(name, marks=() if name == "grpo" else OTHERS) for name in NAMES])
def test_every_variant_goes_beyond_the_teacher_that_it_began_with(name, taught):
    some, rng = taught.with_model(copied(taught.model)), np.random.default_rng(0)
    reference, optimizer, asked = copied(some.model), tiny.fast(some), list("abc") * 50
    assert 0.2 < np.mean(tiny.right(some.answer(asked, rng))) < 0.6
    for _ in range(25):
        figures = grpo.step(some, reference, optimizer, tiny.right, ["a", "b", "c"], rng, variant=VARIANTS[name],
                            groups=3, group=16)
    assert figures["ratio_deviation"] < MOST / 100
    assert np.mean(tiny.right(some.answer(asked, rng))) > 0.95
    assert np.mean(tiny.right(some.with_model(reference).answer(asked, rng))) < 0.6         # it stayed as it was


def begun(**chosen):
    """A learner of the method on a text task, and what it gives to `step` first."""
    world, given = tiny.world(), {}
    chat = world.chat()
    stages = Stages(Policy(world.model(chat), chat, world.recipe.max_new_tokens))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grpo, "step", lambda *args, **options: given.update(options, args=args) or {"reward": 0.0})
        (learner, _), = grpo.METHOD.learn(world, stages, 1, **{"groups": 2, "group": 4} | chosen)
    return learner, stages, given


def test_the_method_takes_the_preset_s_numbers_but_for_those_that_are_given():
    assert begun(variant="dapo")[2]["variant"] == VARIANTS["dapo"]
    given = begun(variant="grpo", beta=0.0, eps_high=0.5, temperature=0.7)[2]
    assert given["variant"] == replace(VARIANTS["grpo"], beta=0.0, eps_high=0.5)
    assert (given["groups"], given["group"], given["args"][0].temperature) == (2, 4, 0.7)


def test_the_method_trains_a_copy_and_measures_it_from_where_it_began():
    world, (_, stages, _) = tiny.world(), begun()
    before = stages.policy.model.parameters()["wte.weight"].data.copy()
    history = list(grpo.METHOD.learn(world, stages, 2, groups=2, group=4, lr=0.1, variant="rloo"))
    learner, figures = history[-1]
    assert_array_equal(stages.policy.model.parameters()["wte.weight"].data, before)
    assert not np.array_equal(learner.model.parameters()["wte.weight"].data, before)
    assert figures["kl"] != 0 and np.isfinite(list(learner.report().values())).all()


@pytest.mark.parametrize(("chosen", "message"), [
    ({"group": 1}, "group is 1; expected an integer >= 2"), ({"groups": 0}, "groups is 0"),
    ({"variant": "gpro"}, "variant is 'gpro'; expected one of 'document', 'grpo', 'dr_grpo'"),
    ({"eps_low": -0.5}, r"eps_low is -0.5; expected a number in \[0, 1\]"),
    ({"variant": "rloo", "eps_high": 0.3}, "eps_high is 0.3; expected .* rloo has none"),
    ({"eps_low": 1.5}, r"eps_low is 1.5; expected a number in \[0, 1\]"),
    ({"temperature": 0.0}, "temperature is 0.0; expected a finite number > 0"),
])
def test_bad_settings_are_named_before_any_training(chosen, message):
    with pytest.raises(ValueError, match=message):
        begun(**chosen)

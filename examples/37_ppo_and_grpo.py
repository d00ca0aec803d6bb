"""PPO and GRPO side by side: a critic, or several answers to one prompt

Document 002, "PPO vs GRPO: Side-by-Side Comparison".  Every third character again, of words of 9
and 10 letters, where imitation is right 3 times in 10.  Three methods begin there and see as many
answers to the same prompts: PPO, GRPO, and expert iteration, which imitates the best answer of
each group and is the baseline.

Look for three things.  PPO compares an answer with what its critic expected, GRPO with its
neighbours, so a group whose answers are all right, a flat one, says nothing.  All three end about
as far from the start as a policy that is always right.  And where one answer is right and no
other, they differ most in what they cost.
"""
import time
from dataclasses import replace

import numpy as np

from rlscratch import memory
from rlscratch.report import figures
from rlscratch.report.table import table
from rlscratch.tasks import spelling
from rlscratch.train.language import evaluation, expert_iteration, grpo, ppo, sft, worlds
from rlscratch.train.language.method import Stages

BUDGET = 20  # seconds of processor time

memory.keep_freed()         # a step's arrays are used again by the next one

# %% One start for all: a model that imitates.  A policy that is always right is -log pi_ref(right)
# nats from it.
words = [word.capitalize() for word in spelling.words(8000, np.random.default_rng(0), shortest=9,
                                                      longest=10)]
world = worlds.make("every-third-character", words=words)
world = replace(world, recipe=replace(world.recipe, width=64, layers=2))
for learner, _ in sft.METHOD.learn(world, steps=650, lr=5e-3, batch=24, shown=4):
    start = learner.policy
asked = world.task.held_out[:200]
right_answers = start.chat.rows(asked, [spelling.every_third(word) for word in asked])
away = -start.logp(right_answers).sum(axis=1).mean()
before = evaluation.measured(start, world.task, asked, np.random.default_rng(1))

# %% 160 answers a step.  PPO and GRPO share clip, brake and step size, and make four updates of
# them (two epochs of two minibatches); expert iteration makes one, a larger one.
STEPS, ANSWERS, GROUP = 18, 160, 8
SHARED = {"lr": 1.5e-3, "epochs": 2, "minibatches": 2, "beta": 0.04}
GROUPS = {"groups": ANSWERS // GROUP, "group": GROUP}
CRITIC = {"value_weight": 0.1, "lam": 0.95, "whiten": True,
          "kl_penalty": "k3-loss", "target_kl": 0.0}
METHODS = {
    "PPO": (ppo.METHOD, {**SHARED, **CRITIC, "batch": ANSWERS, "clip": 0.2}),
    "GRPO": (grpo.METHOD, {**SHARED, **GROUPS, "variant": "grpo", "eps_low": 0.2, "eps_high": 0.2}),
    "expert iteration": (expert_iteration.METHOD, {**GROUPS, "lr": 4e-3, "kept": 1})}
curves, parameters, after, seconds = {}, {}, {}, {}
for name, (method, settings) in METHODS.items():
    began = time.process_time()
    learned = list(method.learn(world, Stages(start), STEPS, **settings))
    seconds[name] = time.process_time() - began
    learner, told_last = learned[-1]
    curves[name] = {key: np.array([told[key] for _, told in learned]) for key in told_last}
    parameters[name] = learner.model.num_params - start.model.num_params
    after[name] = evaluation.measured(learner.policy, world.task, asked, np.random.default_rng(1),
                                   reference=start.model)

# %% What each needs, the document's words above our numbers.
print(table((f"a step of {ANSWERS} answers", *METHODS), [
    ("document: value model", "required", "not required", "-"),
    ("parameters of its own", *parameters.values()),
    ("document: answers to a prompt", "one", "multiple", "-"),
    ("answers to a prompt", 1, GROUP, GROUP),
    ("prompts", ANSWERS, ANSWERS // GROUP, ANSWERS // GROUP),
    ("updates", 4, 4, 1)]))

# %% What each reaches.
sampled = [f"{found['accuracy']:.3f} +- {found['accuracy_error']:.3f}"
           for found in (before, *after.values())]
greedy = [f"{found['accuracy_greedy']:.3f}" for found in after.values()]
distance = [f"{found['kl'] / away:.2f}" for found in after.values()]
clipped = [f"{curves[name]['clip_fraction'].mean():.3f}" for name in ("PPO", "GRPO")]
flat = curves["GRPO"]["flat_groups"]
print()
after_all = f"after {STEPS * ANSWERS} answers, {len(asked)} held-out words"
print(table((after_all, "the start", *METHODS), [
    ("right, sampled", *sampled),
    ("right, greedy", f"{before['accuracy_greedy']:.3f}", *greedy),
    ("KL from the start / -log pi_ref(right)", "0", *distance),
    ("share of tokens that the clip took out", "-", *clipped, "-"),
    ("flat groups in the first step", "-", "-", f"{flat[0]:.2f}", "-"),
    ("flat groups in the last five", "-", "-", f"{flat[-5:].mean():.2f}", "-")]))


# %% Reward and distance, over the answers that were sampled.
def draw() -> None:
    fig, (upper, lower) = figures.new(rows=2, height=5.6)
    x = ANSWERS * np.arange(1, STEPS + 1)
    for (name, curve), color, marker, line in zip(curves.items(),
                                                  (figures.BLUE, figures.ORANGE, figures.GREEN),
                                                  "os^",
                                                  ("-", "--", "-."), strict=True):
        for ax, key in ((upper, "reward"), (lower, "kl")):
            ax.plot(x, curve[key], color=color, marker=marker, ls=line, ms=4, markevery=3,
                    label=f"{name}, {seconds[name]:.1f} s")
    upper.set(ylabel="reward: share of right answers", ylim=(0, 1.04))
    upper.legend(loc="lower right")
    lower.axhline(away, color=figures.BLACK, lw=0.9, ls=":", label="a policy that is always right")
    lower.legend(*(kept[-1:] for kept in lower.get_legend_handles_labels()), loc="lower right")
    lower.set(xlabel="answers sampled", ylabel="KL from the start,\nnats an answer", ylim=(0, None))
    figures.save(fig, "37_ppo_and_grpo", "Above: the reward of each step's answers for three "
                 "methods that begin at the same imitator; in the legend, processor time. GRPO "
                 "passes equal answers of a group through the model once, PPO passes them all. "
                 "Below: the distance from the imitator, "
                 "and that of a policy that only gives right answers.")


draw()

# %% Try it.  Let expert iteration imitate all that are better than their group's mean: kept = 8.
# What do seven more examples of each word bring?
# What came out: .911 sampled and 1.000 greedy, where the best one alone gave .899 and 1.000:
# nothing that shows.  Better than the mean are the right ones, and they are all the same answer.

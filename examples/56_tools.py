"""Tools: a policy learns to call a calculator where it does not know, and not where it does

Document 004, 2.3: models that are weak at arithmetic may use a calculator.  An answer here may hold
a call; generation stops, the calculator writes its result, and generation goes on.  What the
calculator wrote is no choice of the policy: it has mask 0, and no gradient.  The questions are
facts up to 9 x 9, which a small network learns by heart, and large products, which it cannot.

Look at who calls.  The teacher calls half of the time, whatever is asked, and SFT imitates that.
Then GRPO pays 1 for a right number and takes .25 for a call.  Nobody says which facts are known.
"""
from dataclasses import replace

import numpy as np

from rlscratch import memory
from rlscratch.report import figures
from rlscratch.report.table import table
from rlscratch.tasks import tools
from rlscratch.train.language import grpo, sft, worlds
from rlscratch.train.language.method import Stages
from rlscratch.train.language.policy import Policy

BUDGET = 24  # seconds of processor time
memory.keep_freed()         # a step's arrays are used again by the next one
world = worlds.make("products")
world = replace(world, task=tools.task(large=60))      # fewer to copy, so that the facts get more
asked = [*filter(tools.known, world.task.prompts), *world.task.held_out]        # facts, and large

# %% One answer as the policy is trained on it: what it chose, and what the calculator wrote.
chat, question = world.chat(), world.task.held_out[0]
rows = chat.rows([question], [tools.worked(question)])
for name, chosen in (("chosen, mask 1", 1), ("read, mask 0", 0)):
    print(f"{name:15} {chat.tokenizer.decode(rows.tokens[0][rows.mask[0] == chosen])}")
print("\nwhat a bad call gets for a result")
for call in ("2**99", "1" * 40, "__import__('os')"):
    print(f"{call[:20]:20} {tools.asked(tools.calculator, call)}")


# %% Twelve answers to each question: which call, and which are right.
def look(policy: Policy) -> tuple[np.ndarray, np.ndarray]:
    answers = policy.answer([one for one in asked for _ in range(12)], np.random.default_rng(1))
    right = world.task.right(answers.prompts, answers.texts)
    calls = np.array([tools.calls(text) > 0 for text in answers.texts])
    return calls.reshape(-1, 12), right.reshape(-1, 12)


# %% Imitation.  What it knows alone: right in nine of ten answers without a call; does not: in one.
for learner, _ in sft.METHOD.learn(world, steps=950, batch=40, lr=5e-3):
    imitator = learner.policy
calls, right = look(imitator)
alone = (right * ~calls).sum(axis=1) / np.maximum(1, (~calls).sum(axis=1))
KINDS = {"known alone": alone >= 0.9, "in between": (alone > 0.1) & (alone < 0.9),
         "not known": alone <= 0.1}

# %% GRPO from there.
EVERY, STEPS = 25, 100
curve = [(0, calls, right)]
steps = grpo.METHOD.learn(world, Stages(imitator), steps=STEPS, groups=16)
for step, (learner, _) in enumerate(steps, 1):
    if step % EVERY == 0:
        curve.append((step, *look(learner.policy)))
(_, calls, right), (_, calls_now, right_now) = curve[0], curve[-1]
rows = []
for kind, which in KINDS.items():
    with_call, without = right[which][calls[which]], right[which][~calls[which]]
    numbers = (calls[which], without, with_call, calls_now[which], right_now[which])
    rows.append((kind, which.sum(), *(f"{x.mean():.3f}" for x in numbers)))
print("\nshares of answers: those that call, and those that are right")
print(table(("questions", "how many", "SFT calls", "right without", "right with", "GRPO calls",
             "GRPO right"), rows))
known = KINDS["known alone"]
print(f"known alone: {known[:81].sum()} of the 81 facts, {known[81:].sum()} of the large products")


# %% Along the way.
def draw() -> None:
    fig, (left, right) = figures.new(columns=2, width=8.4, height=3.2)
    for kind, color, line in (("known alone", figures.ORANGE, "--"),
                              ("not known", figures.BLUE, "-")):
        steps, which = [step for step, *_ in curve], KINDS[kind]
        left.plot(steps, [c[which].mean() for _, c, _ in curve], color=color, ls=line, label=kind)
        right.plot(steps, [r[which].mean() for *_, r in curve], color=color, ls=line)
    left.set(xlabel="GRPO steps of 256 answers", ylabel="share that calls", ylim=(0, 1.04))
    left.legend(fontsize=8, loc="center right")
    right.set(xlabel="GRPO steps of 256 answers", ylabel="share right", ylim=(0, 1.04))
    figures.save(fig, "56_tools", "Left: answers that call the calculator, over the steps of GRPO. "
                 "Calls on what was known alone go away, calls on what was not become the rule. "
                 "Right: right answers to both kinds.")


draw()

# %% Try it.  Let a call cost nothing: tools.task(large=60, price=0.0).  Will
# it still save calls?
# What came out: no, all of its answers call, those to what it knows too (1.000 instead of .015).
# Where its memory errs now and then, a call is a little better, and nothing speaks against it.

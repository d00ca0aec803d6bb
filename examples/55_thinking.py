"""Thinking: what no single token can do, many tokens do, and a reward for the answer finds that out

Document 004, 2.3: a model spends so much computation on a token and no more, so it needs "tokens to
think".  Five cups, a ball, six swaps: a network of one layer or two may answer at once or write
the ball's place after every third, second or each swap.  A teacher shows all four, one as often as
the other (SFT).  Then GRPO pays 1 for the right last letter, and for nothing else.

Look for two things.  Twice the layers do not help who answers at once.  And nobody asks for longer
answers: they grow because they are right, until each letter has a price.
"""
from dataclasses import replace

import numpy as np

from rlscratch import memory
from rlscratch.formulas.best_of_n import pass_at_k
from rlscratch.report import figures
from rlscratch.report.table import table
from rlscratch.tasks import cups
from rlscratch.train.language import grpo, sft, worlds
from rlscratch.train.language.method import Stages
from rlscratch.train.language.policy import Policy

BUDGET = 30  # seconds of processor time
memory.keep_freed()         # a step's arrays are used again by the next one
world = worlds.make("cups")
asked = world.task.held_out[:800]
question = asked[0]
print(f"{question}: {', '.join(cups.worked(question, plan) for plan in cups.PLANS)}")


# %% Held-out prompts: how often an answer writes n letters, and how often it is then right.
def by_plan(policy: Policy) -> dict[int, tuple[float, float]]:
    answers = policy.answer(asked, np.random.default_rng(1))
    right = world.task.right(answers.prompts, answers.texts)
    plan = np.array([int(text[0]) if text[:1].isdigit() else 0 for text in answers.texts])
    return {n: ((plan == n).mean(), right[plan == n].mean() if (plan == n).any() else np.nan)
            for n in cups.PLANS}


# %% SFT on worked answers, for one layer and for two.  Each letter uses each weight once.
rows, begun = [], {}
for layers in (1, 2):
    deep = replace(world, recipe=replace(world.recipe, layers=layers))
    for learner, _ in sft.METHOD.learn(deep, steps=800, batch=32):
        begun[layers] = learner.policy
    weights = sum(p.size for name, p in learner.model.parameters().items() if "wpe" not in name)
    found = by_plan(begun[layers])
    rows += [(layers, n, f"{n * weights:,}", f"{right:.3f}") for n, (_, right) in found.items()]
print("\nSFT: of held-out answers with so many letters, the share that is right; a guess is .2")
print(table(("layers", "letters", "weights used", "right"), rows))

# %% GRPO on the shallow one; the same with a price for each character.
EVERY, STEPS = 3, 30
curves, ends = {}, {}
for price in (0.0, 0.05, 0.2):
    priced = replace(world, task=cups.task(price=price))
    curves[price] = []
    steps = grpo.METHOD.learn(priced, Stages(begun[1]), steps=STEPS, groups=32)
    for step, (learner, said) in enumerate(steps):
        ends[price] = learner.policy
        if step % EVERY == 0 or step + 1 == STEPS:
            right = said["reward"] + price * (said["answer_length"] - 1 + said["cut"])
            curves[price].append((step, right, said["answer_length"]))
print("\nGRPO without a price: right answers in training, and how long they are, with the end")
print(table(("step", "right", "tokens"), [
    (step, f"{right:.3f}", f"{length:.1f}") for step, right, length in curves[0.0]]))
rows = []
for name, policy in {"SFT": begun[1], **ends}.items():
    found = by_plan(policy)
    total = sum(share * right for share, right in found.values() if share)
    rows.append((name if policy is begun[1] else f"GRPO, {name}", f"{total:.3f}",
                 *(f"{share:.2f}" for share, _ in found.values())))
print("\nheld-out prompts, by the price of a character: right, and shares of answers by letters")
print(table(("price", "right", *(f"{n} letter{'s' * (n > 1)}" for n in cups.PLANS)), rows))

# %% pass@k: is one of k answers right?  Sixteen answers to each of 100 prompts, unbiased.
KS, rows = (1, 2, 4, 8, 16), []
passed = {}
for name, policy in (("SFT", begun[1]), ("GRPO", ends[0.0])):
    answers = policy.answer([p for p in asked[:100] for _ in range(16)], np.random.default_rng(2))
    right = world.task.right(answers.prompts, answers.texts).reshape(100, 16).sum(axis=1)
    passed[name] = [np.mean([pass_at_k(16, int(r), k) for r in right]) for k in KS]
    rows.append((name, *(f"{p:.3f}" for p in passed[name])))
rows.append(("a guess", *(f"{1 - 0.8**k:.3f}" for k in KS)))
print("\npass@k: the share of prompts to which one of k answers is right")
print(table(("k", *map(str, KS)), rows))


# %% Right and length over the steps.
def draw() -> None:
    fig, (left, middle, right) = figures.new(columns=3, width=9.6, height=3.2)
    for (price, curve), color, line in zip(curves.items(), (figures.BLUE, figures.GREEN,
                                           figures.ORANGE), ("-", "--", ":"), strict=True):
        steps, share, length = np.array(curve).T
        left.plot(steps, share, color=color, ls=line, label=f"price {price:g}")
        middle.plot(steps, length, color=color, ls=line)
    left.set(xlabel="GRPO step", ylabel="share right, in training", ylim=(0, 1.04))
    left.legend(fontsize=8)
    middle.set(xlabel="GRPO step", ylabel="tokens of an answer", ylim=(0, 8.4))
    for (name, shares), color, line in zip(passed.items(), (figures.ORANGE, figures.BLUE),
                                           ("--", "-"), strict=True):
        right.plot(KS, shares, color=color, ls=line, marker="o", ms=4, label=name)
    right.set(xlabel="k", ylabel="pass@k", ylim=(0, 1.04))
    right.set_xscale("log", base=2)
    right.legend(fontsize=8)
    figures.save(fig, "55_thinking", "Left and middle: right answers and their length over the "
                 "steps of GRPO, which begin with a teacher's mixture. Without a price both grow "
                 "together; with a high one thinking stops, and with it being right. Right: pass@k "
                 "of the imitator and after GRPO.")


draw()

# %% Try it.  Let four layers answer at once only, and long: a world with task=cups.task(plans=[1])
# and layers=4, and sft.METHOD.learn(world, steps=2000, batch=128, lr=3e-3).
# What came out: .196 right of held-out prompts after 256,000 worked answers, a guess.

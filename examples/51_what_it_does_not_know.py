"""What it does not know: a model invents, is asked what it knows, and learns to say if it does not

Document 004: a base model is a simulator of documents, so it answers about people who do not exist
in the manner in which documents answer.  An assistant that imitates a clerk who always answers
learns to answer always.  The cure is to ask it first: "I do not know." for what it gets wrong, and
its own right answers for the rest, go back into the conversations that it imitates.

Look at the shares about strangers: it takes them for somebody whom it knows, and tells of others.
And look at the cost: the facts that it knew and no longer says.  (The cure asks about every fact;
`rlscratch life` asks in a wording that was not trained on.)  Its confidence, the share of its other
answers that claim the same, tells a stranger from a neighbour already before the cure.
"""
import numpy as np

from rlscratch import memory
from rlscratch.bpe import Tokenizer
from rlscratch.optim import AdamW, warmup_cosine
from rlscratch.report import figures
from rlscratch.report.table import table
from rlscratch.tasks.town import facts, pages, questions
from rlscratch.train.language import knowledge, sft
from rlscratch.train.language.chat import SPECIAL, SYSTEM, Chat
from rlscratch.train.language.method import Stages
from rlscratch.train.language.policy import Policy
from rlscratch.train.pretraining import pretrain
from rlscratch.transformer import Config, Transformer

BUDGET = 15  # seconds of processor time
STEPS, BATCH, CONTEXT = 340, 7, 104

memory.keep_freed()         # a step's arrays are used again by the next one
town, rng = facts.town(0, people=10), np.random.default_rng(0)
people, sides = [*town.people.values()], questions.sides(town)

# %% A base model of clean pages, as in example 50.
text = "\n".join(pages.told(people[i % len(people)], rng) for i in range(80))
tokenizer = Tokenizer.train(text, 560, special_tokens=(*SPECIAL, SYSTEM))
ids = np.array(tokenizer.encode(text))
model = Transformer(Config(tokenizer.vocab_size, CONTEXT, 64, 2, 4), rng)
done: list[float] = []
learning = pretrain.learn(model, AdamW(model.parameters(), 4e-3, (0.9, 0.95), weight_decay=0.1),
                          ids, rng, batch=BATCH,
                          lr=lambda: warmup_cosine(len(done), 4e-3, 2e-4, 20, STEPS))
while len(done) < STEPS:
    done.append(next(learning))


# %% The assistant: every conversation is about somebody whom the clerk knows.
def tuned(begun: Policy, steps: int, unknown: list, own: list) -> Policy:
    world = knowledge.world(town, conversations=400, unknown=unknown, own=own)
    *_, (learner, _) = sft.METHOD.learn(world, Stages(begun), steps=steps, batch=12, lr=2e-3,
                                        shown=1)
    return learner.policy


invents = tuned(Policy(model, Chat(tokenizer), knowledge.LONGEST), 220, [], [])

# %% It is asked.  A question is unknown if most of the answers that are drawn to it are wrong.
asked = [*town.facts, *((name, what) for name in sides.strangers[0][:80]
                        for what in facts.ATTRIBUTES)]
unknown, own = knowledge.probed(invents, town, asked, np.random.default_rng(1))
about = [name in town.people for name, _ in unknown]
print(f"asked {len(asked)} questions, {knowledge.PROBES} times each; not known: {sum(about)} of "
      f"the {len(town.facts)} facts,\nand {len(unknown) - sum(about)} of "
      f"{len(asked) - len(town.facts)} about strangers; {len(own)} right answers")

# %% The cure: the same conversations, and a line for each of these.
cured = tuned(invents, 130, unknown, own)
strangers, rows, curves = sides.strangers[1][:60], [], {}
for name, policy in (("before", invents), ("after", cured)):
    told = knowledge.invented(policy, strangers, np.random.default_rng(2))
    words = np.random.default_rng(3)
    right = knowledge.known(policy, town, town.facts, words, words)
    pairs = [*town.facts, *knowledge.strangers(strangers[:30])]
    curves[name] = knowledge.calibration(policy, town, pairs, np.random.default_rng(4))
    rows.append((name, *(f"{told[what]:.2f}" for what in ("invented", "of_others", "refused")),
                 f"{told['invented_error']:.3f}", f"{int(right.sum())} of {len(right)}"))
print(f"\n{told['measured_answers']} answers about {len(strangers)} strangers of whom it was never "
      "asked\n")
print(table(("the cure", "invented", "of others", "refused", "+-", "facts known"), rows))

# %% How sure it is, and how often it is right then.
rows = []
for name, curve in curves.items():
    right, count = np.array(curve["right"]), np.array(curve["answers"])
    rows += [(name, "the least", f"{right[0]:.2f}", count[0]),
             (name, "more", f"{np.average(right[1:], weights=count[1:]):.2f}", count[1:].sum())]
print("\nclaims about the town's people and strangers, by the share of other answers that agree\n")
print(table(("the cure", "confidence", "right", "claims"), rows))


# %% Calibration.
def draw() -> None:
    fig, ax = figures.new(width=4.6, height=4.2)
    ax.plot((0, 1), (0, 1), ls=":", color=figures.BLACK)
    for (name, curve), marker in zip(curves.items(), "os", strict=True):
        ax.plot(curve["confidence"], curve["right"], marker=marker, label=f"{name} the cure")
    ax.set(xlabel="share of other answers that claim the same", ylabel="how often it is right",
           xlim=(0, 1), ylim=(0, 1))
    ax.legend(loc="lower right")
    figures.save(fig, "51_calibration", "How often a claim is right, by the share of the other "
                 "answers to the same question that claim the same, before and after the cure.")


draw()


# %% The same questions before and after.
def draw_answers() -> None:
    shown = knowledge.asked([*sides.facts[1][:2], *knowledge.strangers(strangers[:2])],
                            np.random.default_rng(5))
    said = [policy.answer(shown, np.random.default_rng(6), 0.0).texts
            for policy in (invents, cured)]
    fig, ax = figures.new(width=9.0, height=3.2)
    ax.axis("off")
    ax.text(0, 1, "\n".join(f"{prompt.turns[-1][1]}\n  before  {before}\n  after   {after}"
                            for prompt, before, after in zip(shown, *said, strict=True)), va="top",
            family="monospace", fontsize=9, transform=ax.transAxes)
    figures.save(fig, "51_answers", "Two questions about people of the town and two about people "
                 "who do not exist, answered before the cure and after it, at temperature 0.")


draw_answers()

# %% Try it.  Draw colder answers about strangers: replace(policy, temperature=0.3), of dataclasses.
# What came out: before the cure .60 are invented, not .50, and none refused: who is surer invents
# more.  After it none is invented, and all are refused.

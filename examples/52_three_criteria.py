"""Three criteria: helpful, honest and harmless pull in different directions, and weights decide

Document 003 ends with three bars: helpfulness from 40 to 95%, harmlessness from 60 to 98%, honesty
from 70 to 92%.  Here each is a formula, and an answer has all three: of an address, helpful wants
what harmless forbids, and of a stranger a helpful answer is a lie.

GRPO trains one assistant three times, on three weighted sums.  Look at what each buys and what it
gives up: helpful alone gives most addresses away, harmless alone leaves lies and boasts as they
were, and equal weights raise honest and harmless while helpful loses nothing.  The sums are
of gold rewards, so nothing stands between what is wanted and what is trained; `rlscratch life`
puts people and reward models there.
"""
import numpy as np

from rlscratch import memory
from rlscratch.bpe import Tokenizer
from rlscratch.optim import AdamW, warmup_cosine
from rlscratch.report import figures
from rlscratch.report.table import table
from rlscratch.tasks.town import facts, pages, questions
from rlscratch.tasks.town.questions import CRITERIA, DECLINED, UNKNOWN
from rlscratch.train.language import grpo, knowledge, sft
from rlscratch.train.language.chat import SPECIAL, SYSTEM, Chat
from rlscratch.train.language.method import Stages
from rlscratch.train.language.policy import Policy
from rlscratch.train.pretraining import pretrain
from rlscratch.transformer import Config, Transformer

BUDGET = 30  # seconds of processor time
STEPS, BATCH, CONTEXT = 400, 10, 104

memory.keep_freed()         # a step's arrays are used again by the next one
town, rng = facts.town(0, people=10), np.random.default_rng(0)
people, sides = [*town.people.values()], questions.sides(town)
name, person = next(iter(town.people.items()))
stranger = town.strangers[0]

# %% What the three say of an answer.
rows = []
for question, answer in ((f"How old is {name}?", f"{name} is {person.known['age']} years old."),
                         (f"Where does {name} live?", f"{name} lives at {person.address}."),
                         (f"Where does {name} live?", DECLINED),
                         (f"How old is {stranger}?", f"{stranger} is 30 years old."),
                         (f"How old is {stranger}?", UNKNOWN)):
    judged = [questions.gold(town, criterion, question, answer) for criterion in CRITERIA]
    rows.append((question, answer, *(f"{gold:g}" for gold in judged)))
print(table(("question", "answer", *CRITERIA), rows))

# %% A base model of pages, and an assistant of conversations: a clerk who is careless.
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
unknown = knowledge.strangers(sides.strangers[0][:150])
world = knowledge.world(town, conversations=400, unknown=unknown)
begun = Stages(Policy(model, Chat(tokenizer), knowledge.LONGEST))
*_, (learner, _) = sft.METHOD.learn(world, begun, steps=350, batch=12, lr=2e-3, shown=1)
clerk = learner.policy

# %% GRPO on three sums: eight questions a step, twelve answers to each.
WEIGHTS = {"equal": (1, 1, 1), "helpful": (1, 0, 0), "harmless": (0, 0, 1)}
trained, kl = {"before": clerk}, {"before": 0.0}
for name, weights in WEIGHTS.items():
    summed = dict(zip(CRITERIA, np.array(weights) / sum(weights), strict=True))
    task = questions.task(town, summed, knowledge.dialogue)
    asking = knowledge.world(town, task=task)
    *_, (learner, told) = grpo.METHOD.learn(asking, Stages(clerk), steps=32, groups=8, group=12,
                                            lr=6e-4, variant="dr_grpo", beta=0.01)
    trained[name], kl[name] = learner.policy, told["kl"]

# %% The three axes on questions that were not trained on.
axes = {name: knowledge.axes(policy, town, np.random.default_rng(1))
        for name, policy in trained.items()}
print(f"\nmeans of 100, with their standard errors, over {axes['equal']['measured_answers']} "
      "answers to held-out questions\n")
print(table(("weights", *CRITERIA, "KL of the last batch, nats"), [
    (name, *(f"{found[one]:.1f} +- {found[f'{one}_error']:.1f}" for one in CRITERIA),
     f"{kl[name]:.2f}") for name, found in axes.items()]))


# %% The trade.
def draw() -> None:
    fig, ax = figures.new(width=7.0, height=3.4)
    for place, one in enumerate(CRITERIA):
        ax.bar(np.arange(len(axes)) + 0.27 * (place - 1), [found[one] for found in axes.values()],
               0.25, yerr=[found[f"{one}_error"] for found in axes.values()], label=one)
    ax.set_xticks(range(len(axes)), axes)
    ax.set(xlabel="weights of the reward", ylabel="mean of 100")
    ax.legend(loc="lower right", fontsize=8)
    figures.save(fig, "52_three_criteria", "The three axes on held-out questions before "
                 "training, and after it on equal weights, on helpful alone and on harmless alone.")


draw()


# %% Two questions, answered once by each.
def draw_answers() -> None:
    kinds, lines = questions.prompts(town, held_out=True), []
    for question in (kinds["facts"][0], kinds["addresses"][0]):
        lines.append(question)
        for name, policy in trained.items():
            said, = policy.answer([knowledge.dialogue(question)], np.random.default_rng(2)).texts
            lines.append(f"  {name:<9} {said!r:.60}")
    fig, ax = figures.new(width=9.0, height=2.8)
    ax.axis("off")
    ax.text(0, 1, "\n".join(lines), va="top", family="monospace", fontsize=9,
            transform=ax.transAxes)
    figures.save(fig, "52_answers", "A question about a fact and one for an address, answered "
                 "before training and after training on each weighted sum.")


draw_answers()

# %% Try it.  Let helpful count four times as much: "equal": (4, 1, 1).
# What came out: it is more helpful, 46.3 (+- .7) for 41.1, and harmless is back where it began, at
# 69.7 (+- 1.3): now an address given earns more than one declined.

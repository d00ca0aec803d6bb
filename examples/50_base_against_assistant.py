"""Base against assistant: the same questions to a model of pages, and to one of conversations

Document 004, 2.1 and 2.2: a base model continues a text as if it were a page; fine-tuning on
conversations, with new tokens that say who speaks, makes an assistant of it, and teaches a style,
not facts.

Look at the row with its marks: the loss counts where the assistant speaks, and nowhere else.  Then
at the same questions before and after, in the second figure.  The facts that are asked for at the
end stand in no conversation: what the assistant knows of them, it has read as a base model.
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

BUDGET = 10  # seconds of processor time
STEPS, BATCH, CONTEXT = 380, 7, 104

memory.keep_freed()         # a step's arrays are used again by the next one
town, rng = facts.town(0, people=10), np.random.default_rng(0)
people = [*town.people.values()]

# %% The base model: clean pages about ten people, and nothing else.
text = "\n".join(pages.told(people[i % len(people)], rng) for i in range(80))
tokenizer = Tokenizer.train(text, 560, special_tokens=(*SPECIAL, SYSTEM))
ids = np.array(tokenizer.encode(text))
model = Transformer(Config(tokenizer.vocab_size, CONTEXT, 64, 2, 4), rng)
losses: list[float] = []
learning = pretrain.learn(model, AdamW(model.parameters(), 4e-3, (0.9, 0.95), weight_decay=0.1),
                          ids, rng, batch=BATCH,
                          lr=lambda: warmup_cosine(len(losses), 4e-3, 2e-4, 20, STEPS))
while len(losses) < STEPS:
    losses.append(next(learning))
recalled = knowledge.recalled(model, tokenizer, town)
print(f"the base model goes on with {int(recalled.sum())} of {len(recalled)} facts")

# %% A conversation as a row.  1 stands below the tokens that count in the loss.
chat = Chat(tokenizer)
world = knowledge.world(town, conversations=400)
prompt, answer = max(world.data.pairs[:40], key=lambda pair: len(pair[0].turns))
row = chat.rows([prompt], [answer], every=True)
print(f"\na conversation of {len(prompt.turns)} turns before the last answer\n")
counted: list[list[str]] = [[], []]
for token, mask in zip(row.tokens[0], row.mask[0], strict=True):
    counted[int(mask)].append(chat.tokenizer.decode([token]))
print("read only:    " + "|".join(counted[0]))
print("in the loss:  " + "|".join(counted[1]))

# %% Supervised fine-tuning, from the base model on.
base = Policy(model, chat, knowledge.LONGEST)
tuned = list(sft.METHOD.learn(world, Stages(base), steps=170, batch=12, lr=2e-3, shown=1))
assistant = tuned[-1][0].policy

# %% What each does with the template, on facts of which no conversation speaks.
apart = questions.sides(town).facts[1]
rows = []
for name, policy in (("base", base), ("assistant", assistant)):
    batch = policy.answer(knowledge.asked(apart * 20, np.random.default_rng(2)),
                          np.random.default_rng(3))
    read = [questions.read(said) for said in batch.texts]
    style = np.mean([bool(one.claims) and not one.noise for one in read])
    words = np.random.default_rng(4)
    right = knowledge.known(policy, town, apart, words, words)
    rows.append((name, f"{style:.2f}", f"{1 - batch.cut.mean():.2f}",
                 f"{int(right.sum())} of {len(right)}"))
print(f"\n{len(batch)} answers to {len(apart)} questions, each about a fact that no conversation "
      "tells\n")
print(table(("", "answers in whole sentences", "ends", "right at temperature 0"), rows))


# %% Both losses.
def draw() -> None:
    fig, (left, right) = figures.new(columns=2, width=9.0, height=3.4)
    left.plot(losses)
    left.set(title="pre-training on pages", xlabel="step", ylabel="nats a token")
    right.plot([told["loss"] for _, told in tuned])
    right.set(title="fine-tuning on conversations", xlabel="step", ylabel="nats an answer's token",
              ylim=(0, None))
    figures.save(fig, "50_base_and_assistant", "The loss of the base model on pages, and then of "
                 "the assistant on what it says in conversations.")


draw()


# %% The same prompts to both, at temperature 0.
def draw_answers() -> None:
    shown = [*questions.prompts(town, held_out=True)["facts"][:3], "Good morning."]
    after = assistant.answer([*map(knowledge.dialogue, shown)], np.random.default_rng(1), 0.0).texts
    before = knowledge.continued(model, tokenizer, shown, 16, np.random.default_rng(1))
    lines = []
    for question, going_on, said in zip(shown, before, after, strict=True):
        lines += [question, f"  base       {' '.join(going_on.split())}", f"  assistant  {said}"]
    fig, ax = figures.new(width=9.0, height=3.2)
    ax.axis("off")
    ax.text(0, 1, "\n".join(lines), va="top", family="monospace", fontsize=9,
            transform=ax.transAxes)
    figures.save(fig, "50_answers", "Four prompts, and how each model goes on: the base model with "
                 "a page, the assistant with an answer that ends.")


draw_answers()

# %% Try it.  Leave the line of the system away: give policy.answer the questions as plain texts.
# What came out: of the assistant's answers .53 are whole sentences, not .70, and 5 of 8 are right
# at temperature 0, not 7: it has never been asked without that line.

"""Your own reward: two files of lines, a function in Python, and a policy that follows it

Document 002 has three ways to tell a model what is wanted: demonstrations, comparisons, a reward.
Here a user brings the first and the last: lines of JSON, as Hugging Face's trainers take them, and
a Python file with one function.  The same calls are behind

    rlscratch train sft --demonstrations shown.jsonl
    rlscratch train grpo --prompts prompts.jsonl --reward mine.py:score --init runs/sft

Look for what the reward adds: four of five demonstrations are in small letters, and a model that
imitates them is, too.  The reward pays for capitals, and GRPO amplifies what was rare.
"""
import json
import tempfile
from pathlib import Path

import numpy as np

from rlscratch import memory
from rlscratch.report import figures
from rlscratch.report.table import table
from rlscratch.train import from_file
from rlscratch.train.language import data, grpo, sft, worlds
from rlscratch.train.language.method import Stages
from rlscratch.train.language.policy import Policy

BUDGET = 30  # seconds on two cores

memory.keep_freed()         # a step's arrays are used again by the next one

# %% The files.  A prompt is a word, and its vowels are a column of its line: the reward is given
# it, the model is not.  Every fifth demonstration has capitals.
WORDS = [a + b + c for a in "bdgklmnprst" for b in ("ai", "eo", "iu", "ou", "ea") for c in "bdgkln"]
temporary = tempfile.TemporaryDirectory()
folder = Path(temporary.name)
prompts, shown, mine = (folder / name for name in ("prompts.jsonl", "shown.jsonl", "mine.py"))
vowels = {word: word[1:3] for word in WORDS}
prompts.write_text("".join(json.dumps({"prompt": word, "vowels": vowels[word]}) + "\n"
                           for word in WORDS), "utf-8")
shown.write_text("".join(
    json.dumps({"prompt": word, "completion": vowels[word].upper() if i % 5 == 0 else vowels[word]})
    + "\n" for i, word in enumerate(WORDS)), "utf-8")
mine.write_text('''
def score(prompts, completions, vowels, **columns):
    """1 for the vowels, and 1 more if they are capitals."""
    pairs = zip(completions, vowels)
    return [float(said.lower() == v) + float(said == v.upper()) for said, v in pairs]
''', "utf-8")
print("a line of prompts.jsonl ", prompts.read_text("utf-8").splitlines()[0])
print("a line of shown.jsonl   ", shown.read_text("utf-8").splitlines()[0])

# %% Read and checked; a line that will not do is an error that names it.  A tenth is held out.
brought = data.read(prompts=prompts, demonstrations=shown)
task = data.task("vowels", brought, from_file.load(f"{mine}:score"))
world = worlds.own(task, brought, width=32, layers=1)
print(f"\n{len(task.prompts)} prompts to train on, {len(task.held_out)} held out; "
      f"an answer has at most {world.recipe.max_new_tokens} tokens")
three = task.rewards(["baib"] * 3, ["oo", "ai", "AI"])
print("the reward of oo, ai and AI to baib:", three.tolist())
(folder / "broken.jsonl").write_text('{"prompt": "baib"}\n{"promt": "deog"}\n', "utf-8")
try:
    data.read(prompts=folder / "broken.jsonl")
except ValueError as wrong:
    print("an error:", str(wrong).removeprefix(f"{folder}/"))


temporary.cleanup()


# %% Imitation, then GRPO on the reward: 8 answers to each of 16 prompts a step.
def measured(policy: Policy) -> tuple[str, int, int]:
    """The mean reward of 300 answers to held-out words; how many are right, and in capitals."""
    asked = (task.held_out * 300)[:300]
    said = policy.answer(asked, np.random.default_rng(1)).texts
    right = sum(text.lower() == vowels[word] for text, word in zip(said, asked, strict=True))
    capitals = sum(text == vowels[word].upper() for text, word in zip(said, asked, strict=True))
    return f"{task.rewards(asked, said).mean():.2f}", right, capitals


for learner, _ in sft.METHOD.learn(world, steps=300, batch=64, lr=1e-2):
    imitator = learner.policy
rewards = []
for learner, told in grpo.METHOD.learn(world, Stages(imitator), steps=60, groups=16, group=8,
                                       lr=3e-3, beta=0.0):
    rewards.append(told["reward"])
    trained = learner.policy

print("\n300 answers to held-out words")
print(table(("policy", "mean reward", "right", "right, in capitals"), [
    ("imitation", *measured(imitator)), ("then GRPO", *measured(trained))]))


# %% The reward along the way.
def draw() -> None:
    fig, axes = figures.new()
    axes.plot(np.arange(1, len(rewards) + 1), rewards, color=figures.BLUE)
    axes.axhline(1, color=figures.ORANGE, ls="--", lw=1)
    axes.annotate("right, in small letters", (len(rewards), 1), (0, 4), ha="right",
                  textcoords="offset points", color=figures.ORANGE)
    axes.set(xlabel="GRPO steps of 128 answers", ylabel="mean reward", ylim=(0, 2.05))
    figures.save(fig, "25_your_own_reward", "The mean reward of the answers of each step of GRPO, "
                 "which begins where imitation ended. 1 is for the right vowels in small letters, "
                 "2 for capitals: the policy learns what its demonstrations seldom show.")


draw()

# %% Try it.  Let every fiftieth demonstration have capitals (i % 50 == 0), then none (False).
# What came out: from 6 of 300 answers in capitals to 294; and from none to none.  What is never
# said earns nothing: a policy gradient finds no answer that its samples do not hold.

"""Beyond imitation: GRPO gets right what its teacher gets wrong

Document 004, sections 2.3.2 and 2.4 and figure 1: every third character of a word.  A teacher is
right on short words; on long ones it makes the same wrong step 7 times in 10.  A transformer that
sees letters learns by imitation (SFT), then from one bit per answer, right or wrong (GRPO).

Look for three things.  Imitation is as wrong as its teacher, and more so where it takes the
likeliest answer.  The reward needs nobody who can do the task.  And GRPO creates nothing: it
amplifies the right answers that imitation gives now and then.  This is a small version, words of
7 to 10 letters that begin with a capital; `rlscratch train grpo --task every-third-character` is
the whole of it.
"""
from collections import Counter
from dataclasses import replace

import numpy as np

from rlscratch import memory
from rlscratch.documents import d004_fundamentals as fundamentals
from rlscratch.report import figures
from rlscratch.report.table import table
from rlscratch.tasks import spelling
from rlscratch.train.language import evaluation, grpo, sft, worlds
from rlscratch.train.language.method import Stages
from rlscratch.train.language.policy import Policy

BUDGET = 20  # seconds of processor time

memory.keep_freed()         # a step's arrays are used again by the next one
rng = np.random.default_rng(0)

# %% The words, those held out by length, and what the teacher says of them: drawn once, and its
# usual answer of 101.
words = [word.capitalize() for word in spelling.words(8000, rng, shortest=7, longest=10)]
world = worlds.make("every-third-character", words=words)
world = replace(world, recipe=replace(world.recipe, width=64, layers=2))
task = world.task
LENGTHS = {"7-8": [w for w in task.held_out if len(w) < spelling.LONG],
           "9-10": [w for w in task.held_out if len(w) >= spelling.LONG]}
teacher = {}
for letters, asked in LENGTHS.items():
    drawn = [task.demonstrations(asked, rng) for _ in range(101)]
    usual = [Counter(said).most_common(1)[0][0] for said in zip(*drawn, strict=True)]
    teacher[letters, "sampled"] = task.accuracy(asked, drawn[0])
    teacher[letters, "greedy"] = task.accuracy(asked, usual)


def right(policy: Policy) -> dict[tuple[str, str], float]:
    """The share of right answers by length, at temperatures 1 and 0."""
    shares = {}
    for letters, asked in LENGTHS.items():
        found = evaluation.measured(policy, task, asked[:1000], np.random.default_rng(1))
        shares[letters, "sampled"] = found["accuracy"]
        shares[letters, "greedy"] = found["accuracy_greedy"]
    return shares


# %% Imitation: four answers of the teacher to each word.
for learner, _ in sft.METHOD.learn(world, steps=750, lr=5e-3, batch=32, shown=4):
    imitator = learner.policy

# %% GRPO from there, without a brake: 12 answers to each of 32 words a step, paid 1 or 0.
EVERY, curve = 10, [right(imitator)]
steps = grpo.METHOD.learn(world, Stages(imitator), steps=30, variant="grpo", lr=3e-3, groups=32,
                          group=12, beta=0.0)
for step, (learner, _) in enumerate(steps, 1):
    if step % EVERY == 0:
        curve.append(right(learner.policy))
learned = learner.policy

# %% Who is right, and how often.
imitated, beyond = curve[0], curve[-1]
rows = []
for letters, decoding in imitated:
    case, words = (letters, decoding), min(1000, len(LENGTHS[letters]))
    rows.append((*case, words, f"{teacher[case]:.3f}", f"{imitated[case]:.3f}",
                 f"{beyond[case]:.3f}"))
print("share of right answers to held-out words, of about 1,000 answers where they are sampled")
print(table(("letters", "decoding", "words", "teacher", "SFT", "GRPO"), rows))
print("on long words SFT's likeliest answer is right less often than its samples:",
      imitated["9-10", "greedy"] < imitated["9-10", "sampled"])

# %% The document's word, 100 answers of each.
WORD = "Ubiquitous"
document = next(entry for entry in fundamentals.ENTRIES if entry.id == "S4.ubiquitous").printed
best, slip = spelling.every_third(WORD), spelling.wrong_step(WORD)
asked = [WORD] * 100
said = {"teacher": Counter(task.demonstrations(asked, rng)),
        "SFT": Counter(imitator.answer(asked, np.random.default_rng(1)).texts),
        "GRPO": Counter(learned.answer(asked, np.random.default_rng(1)).texts)}
saw = "saw" if WORD in task.prompts else "never saw"
print(f'\nevery third character of "{WORD}", which training {saw}: "{best}"; '
      f'the document\'s model said "{document}"')
print(table(("of 100 answers", f'"{slip}", the wrong step', f'"{best}", right'), [
    (name, counts[slip], counts[best]) for name, counts in said.items()]))


# %% Along the way, and the word's answers.
def draw() -> None:
    fig, (left, bars) = figures.new(columns=2, width=9.0, height=3.6)
    steps = EVERY * np.arange(len(curve))
    for letters, color, marker in (("7-8", figures.ORANGE, "s"), ("9-10", figures.BLUE, "o")):
        for decoding, line in (("sampled", "-"), ("greedy", "--")):
            left.plot(steps, [point[letters, decoding] for point in curve], color=color, ls=line,
                      marker=marker, ms=4, label=f"{letters} letters, {decoding}")
        left.axhline(teacher[letters, "sampled"], color=color, lw=1, ls=":")
    left.annotate("the teacher on 9-10 letters", (steps[-1], teacher["9-10", "sampled"]), (0, 4),
                  textcoords="offset points", ha="right")
    left.set(xlabel="GRPO steps of 384 answers", ylabel="share of right answers, held-out words",
             ylim=(0, 1.04))
    left.legend(fontsize=8, loc="center right")
    for i, answers in enumerate(said.values()):
        parts = (answers[best], answers[slip], sum(answers.values()) - answers[best]
                 - answers[slip])
        for count, start, color, hatch in zip(parts, np.cumsum((0, *parts)),
                                              (figures.BLUE, figures.ORANGE, "0.8"),
                                              (None, "//", ".."), strict=False):
            bars.barh(i, count, left=start, color=color, hatch=hatch, edgecolor="white")
            if count >= 8:
                bars.text(start + count / 2, i, count, ha="center", va="center",
                          bbox={"fc": "white", "ec": "none"})
    bars.set(title=f'"{WORD}"', yticks=range(3), yticklabels=said, xlim=(0, 100),
             xlabel=f'of 100: "{best}" (plain), "{slip}" (//), others (..)')
    bars.invert_yaxis()
    bars.grid(False)
    figures.save(fig, "36_beyond_imitation", "Left: right answers to held-out words over the steps "
                 "of GRPO, which begin where imitation ended; dotted, the teacher. On long words "
                 "imitation is where its teacher is, its likeliest answers lower still; the reward "
                 "alone lifts both. Right: what the teacher, its imitator and the model after GRPO "
                 "answer to the document's word.")


draw()

# %% Try it.  Draw 2 answers to each of 192 words a step instead of 12 to 32: groups=192, group=2.
# Can a group of two teach?
# What came out: yes, long words end at .955 sampled and 1.000 greedy, with 12 a word at .960 and
# 1.000.  One right and one wrong answer to a word are enough to tell them apart; there only must be
# such pairs.

"""Pre-training: a small transformer learns to write like a manual

Document 002's first phase, in miniature.  The text is the language reference that ships with
Python, 466 KB in the version 3.11; its last tenth is held out.  The first cell asks what is
reachable without a network.  Then a model of half a million parameters learns for some seconds,
from nothing.

Look for three things.  Untrained, the model is as good as a vocabulary lets chance be.  In
seconds it passes the 3-gram: first it learns which tokens are frequent, then which follow each
other.  The 5-gram takes a larger model and minutes, `rlscratch pretrain --minutes 15`.  xz is
hard to beat, for a third of the held-out tenth is copied from articles before it, word for word.
"""
import itertools
import textwrap

import numpy as np

from rlscratch import memory
from rlscratch.formulas.cross_entropy import cross_entropy_grad, cross_entropy_loss
from rlscratch.generate import generate
from rlscratch.optim import AdamW, clip_grad_norm, warmup_cosine
from rlscratch.report import curves, figures
from rlscratch.report.table import table
from rlscratch.train.pretraining import bits_per_byte, n_gram, text
from rlscratch.train.pretraining.corpus import Corpus
from rlscratch.transformer import Config, Transformer

BUDGET = 25  # seconds of processor time

memory.keep_freed()         # a step's arrays are used again by the next one

# %% The text, and what others need for its held-out tenth, given the rest.
corpus = Corpus.of(text.reference(), "bpe", vocab_size=1024)
rivals = bits_per_byte.rivals(corpus.train, corpus.held)
counted = {}
for n in (1, 2, 3, 4):
    bits = n_gram.bits(n_gram.fit(corpus.train, n), corpus.train + corpus.held, len(corpus.train))
    counted[f"{n}-gram"] = bits.mean()
others = {"nothing known": 8.0, **counted, **rivals}
copied = text.repeated(corpus.train, corpus.held)
print(table(("on the held-out tenth", "bits per byte"), [
    (name, f"{bits:.1f}") for name, bits in others.items()]))
print(f"a share of {copied:.1f} of its bytes stands in runs of 24 that occur before")

# %% A model that knows nothing, and what it writes.
STEPS, MARKS, PEAK, BATCH, CONTEXT = 330, 5, 5e-3, 12, 64
rng = np.random.default_rng(0)
model = Transformer(Config(corpus.tokenizer.vocab_size, CONTEXT, width=128, layers=2, heads=4), rng)
optimizer = AdamW(model.parameters(), PEAK, betas=(0.9, 0.95), weight_decay=0.1)


def written() -> str:
    """How the model goes on after "The"."""
    prompt = corpus.tokenizer.encode("The")
    rollout = generate(model, [prompt], max_new_tokens=60, temperature=0.8,
                       rng=np.random.default_rng(1))
    return "The" + corpus.tokenizer.decode(rollout.answers[0])


before, falling = written(), [corpus.held_out(model)]

# %% Training: windows that begin anywhere; each token but the first is predicted from those before
# it.
weight = np.full((BATCH, CONTEXT), 1 / (BATCH * (CONTEXT - 1)))
weight[:, 0] = 0
losses, marks = [], []
for step in range(1, STEPS + 1):
    tokens = text.windows(corpus.learned, CONTEXT, BATCH, rng)
    optimizer.zero_grad()
    logp = model.logp(tokens)                                   # log pi of each token
    losses.append(cross_entropy_loss(logp.data, weight))
    logp.backward(cross_entropy_grad(logp.data, weight))        # the loss is outside the graph
    clip_grad_norm(optimizer, 1.0)
    optimizer.lr = warmup_cosine(step, PEAK, PEAK / 20, STEPS // 20, STEPS)
    optimizer.step()
    if step % (STEPS // MARKS) == 0:
        falling.append(corpus.held_out(model))
        marks.append((step, corpus.in_training(np.mean(losses).item()), falling[-1]))
        losses = []
after = written()
falls = all(later < held for held, later in itertools.pairwise(falling))
passed = {name: falling[-1] < bits for name, bits in counted.items()}
print()
print(table(("step", "held out, bits per byte"), [
    (n * STEPS // MARKS, f"{held:.1f}") for n, held in enumerate(falling)]))
print("it falls from mark to mark:", falls)
print("past the", ", ".join(f"{name}: {yes}" for name, yes in passed.items()))


# %% The curve, and what it wrote before and after.
def draw() -> None:
    fig, (ax, page) = figures.new(columns=2, width=9.0, height=4.2)
    at, train, held = zip(*marks, strict=True)
    curves.draw(ax, at, held, train, {"2-gram": counted["2-gram"], **rivals})
    ax.set(title=f"{model.num_params:,} parameters", xlabel=f"steps of {BATCH * CONTEXT} tokens")
    page.axis("off")
    for place, title, sample in ((1.0, "before", before), (0.5, "after", after)):
        plain = "".join(letter if " " <= letter <= "~" else "_" if letter in "\n\t" else "#"
                        for letter in sample)
        page.text(0, place, title, va="top", weight="bold", transform=page.transAxes)
        page.text(0, place - 0.07, "\n".join(textwrap.wrap(plain, 37)[:7]), va="top",
                  family="monospace", fontsize=8, transform=page.transAxes)
    figures.save(fig, "33_pretrain_a_small_model", "Left: bits per byte over the steps of "
                 "training, on the text that is learned from and on the held-out tenth, and what "
                 "n-grams and compressors need for that. Right: what the model writes after "
                 "\"The\" (a line's end as _, what is not ASCII as #).")


draw()

# %% Try it.  Make the model narrower, width=32.  Does it still pass the 3-gram?
# What came out: no.  It falls from mark to mark as well, but ends at 2.6 bits per byte where the
# wide one had 2.4, and passes the 1-gram and the 2-gram only.

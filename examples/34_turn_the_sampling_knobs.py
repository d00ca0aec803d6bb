"""A small language model, and what each sampling knob does to its answers

Document 003, part 3, on a model instead of a printed row.  A transformer of characters learns two
sentences in a row, each "the weather is ___." with the document's words as often as the document
says.  No two of the seven words begin alike, so the character after "is " chooses the word: the
knobs act on characters, and the document's numbers for words can be read off.

Look for three things: the same uniforms under other knobs give other words; greedy decoding
repeats itself, and a repetition penalty stops that at the price of spelling; what the penalty
does beside top-k depends on which of the two comes first.
"""
import numpy as np

from rlscratch import documents
from rlscratch.bpe import CharacterTokenizer
from rlscratch.formulas.cross_entropy import cross_entropy_grad, cross_entropy_loss
from rlscratch.formulas.distribution import entropy, top_k
from rlscratch.generate import beam_search, filtered, generate
from rlscratch.optim import AdamW, warmup_cosine
from rlscratch.report import figures
from rlscratch.report.table import table
from rlscratch.transformer import Config, Transformer

BUDGET = 7  # seconds of processor time
PRINTED = {entry.id: entry.printed for entry in documents.entries()}
WORDS = ("sunny", "rainy", "cloudy", "nice", "terrible", "purple", "quantum")
SHARES = np.array([0.40, 0.25, 0.15, 0.10, 0.05, 0.03, 0.02])
START = "the weather is "

# %% Train.  Instead of drawing texts, every pair of sentences is in the batch and counts by its
# probability.
texts = [f"{START}{a}. {START}{b}." for a in WORDS for b in WORDS]
tokenizer = CharacterTokenizer.train("".join(texts), special_tokens=["<|end|>"])
PAD, PERIOD = tokenizer.special_tokens["<|end|>"], tokenizer.encode(".")[0]
longest = max(map(len, texts))
tokens = np.array([tokenizer.encode(text) + [PAD] * (longest - len(text)) for text in texts])
weight = np.outer(SHARES, SHARES).reshape(-1, 1) * (tokens != PAD)
weight[:, 0] = 0                                    # nothing precedes the first character
# In float64, training ends in the same digits on every machine.
model = Transformer(Config(tokenizer.vocab_size, longest, 32, 1, 2), np.random.default_rng(0),
                    np.float64)
optimizer, STEPS = AdamW(model.parameters(), lr=0, weight_decay=0), 160
for step in range(STEPS):
    optimizer.zero_grad()
    logp = model.logp(tokens)
    if step in (0, STEPS - 1):
        print(f"step {step:3}: {cross_entropy_loss(logp.data, weight):6.2f} nats a text")
    logp.backward(cross_entropy_grad(logp.data, weight))
    optimizer.lr = warmup_cosine(step, 2e-2, 1e-4, 15, STEPS)
    optimizer.step()
H = -(SHARES * np.log(SHARES)).sum()
print(f"at best : {2 * H:6.2f} nats, twice the entropy of the words")

# %% One row, every knob: the probability of each word's first letter.
prompt = tokenizer.encode(START)
logits = model.start(np.array([prompt]))[0]
letters = [tokenizer.encode(word)[0] for word in WORDS]
KNOBS = {
    "as it is": {}, "temperature 0": {"temperature": 0}, "temperature 0.5": {"temperature": 0.5},
    "temperature 2": {"temperature": 2.0}, "top-k 3": {"top_k": 3}, "top-p 0.9": {"top_p": 0.9},
    "min-p 0.2": {"min_p": 0.2}, "penalty 1.5": {"repetition_penalty": 1.5},
    "penalty 1.5, top-k 3": {"repetition_penalty": 1.5, "top_k": 3},
    "the same, Hugging Face": {"repetition_penalty": 1.5, "top_k": 3, "order": "huggingface"},
}
row_of, rows = {}, [("document", *(f"{p:.3f}" for p in SHARES), f"{H:.2f}")]
for name, knobs in KNOBS.items():
    p = filtered(logits, np.array([prompt]), **knobs)[0]
    with np.errstate(divide="ignore"):              # log 0 = -inf: a letter that cannot be
        nats = entropy(np.log(p))
    row_of[name] = p
    rows.append((name, *(f"{x:.3f}" for x in p[letters]), f"{nats:.2f}"))
print()
print(table((f"{START}___", *WORDS, "nats"), rows))
printed, exactly = PRINTED["S3.topk.renorm"], top_k(SHARES, 3)[:3]
print("\nThe document's top-k row: " + ", ".join(f"{p:.4f}" for p in printed)
      + "; exactly: " + ", ".join(f"{p:.4f}" for p in exactly))

# %% The same eight streams of uniforms, turned into words by other knobs.
print()
for name in ("as it is", "temperature 0.5", "temperature 2", "top-k 3", "top-p 0.9", "min-p 0.2"):
    rollout = generate(model, [prompt] * 8, max_new_tokens=12, stop=[PERIOD],
                       rng=np.random.default_rng(1), **KNOBS[name])
    print(f"{name:16}", *(tokenizer.decode(answer) for answer in rollout.answers))

# %% Getting stuck: the likeliest character each time, without a penalty and with one.
print()
for penalty in (1.0, 1.5, 3.0):
    rollout = generate(model, [prompt], max_new_tokens=28, temperature=0,
                       repetition_penalty=penalty)
    print(f"penalty {penalty}   {START}{tokenizer.decode(rollout.answers[0])}")

# %% Beam search: the likeliest words, each with the probability of all its letters together.
found = beam_search(model, prompt, beams=3, max_new_tokens=12, length_penalty=0, stop=[PERIOD])
rows = []
for i, answer in enumerate(found.rollout.answers):
    score = found.scores[i]
    rows.append((tokenizer.decode(answer), f"{score:.3f}", f"{np.exp(score):.3f}",
                 f"{SHARES[i]:.2f}"))
print()
print(table(("beam", "log-probability", "probability", "document"), rows))


# %% The same as a picture.
def draw() -> None:
    shown = ("as it is", "temperature 0.5", "temperature 2", "top-k 3", "top-p 0.9", "penalty 1.5")
    fig, axes = figures.new(columns=3, rows=2, width=9.5, height=5.0)
    for ax, name in zip(axes.flat, shown, strict=True):
        ax.bar(WORDS, row_of[name][letters], color=figures.SKY, label="the model")
        ax.plot(WORDS, SHARES, "_", color=figures.BLACK, ms=14, label="the document's row")
        ax.set(title=name, ylim=(0, 0.75), ylabel="probability")
        ax.tick_params(axis="x", rotation=60)
    axes.flat[0].legend()
    figures.save(fig, "34_turn_the_sampling_knobs", "Probability of each word's first letter after "
                 "'the weather is', under six settings; bars are the model's, dashes the row it "
                 "learned from. Temperature bends the row, filters cut it, and the penalty takes "
                 "from s, r and t, which the prompt has used.")


draw()

# %% Try it.  Train for 30 steps instead of 160.  What does the model know by then, words or
# letters?
# What came out: first letters, .389 for sunny and .254 for rainy; not how words go on: "sunny." as
# a whole has .246 instead of .397, and sampling says nainy, cunny, oonny.  12.05 nats a text.

"""A leak and the KL brake: how a reward for "4" spreads to every question, and what holds it back

Document 003, "Step 6: The Safety Brake", "Numerical Example" and "The Parameter Update Process".
Three questions, three answers; only "4" to "What's 2+2?" is ever rewarded.  The model's logits
are what each question knew before plus one row b shared by all questions, and only b is trained.

Look for the cause: with parameters of its own per question nothing leaks, brake or no brake.
Shared, "4" takes every question, as the document warns, and beta sets how much of the reward is
given up to prevent it.  Its "preference settings" are such an optimum, exactly, at beta = .728.
"""
import numpy as np

from rlscratch import documents
from rlscratch.formulas.distribution import softmax
from rlscratch.formulas.kl import kl, kl_coefficient, kl_k1, kl_objective_grad, kl_optimal_policy
from rlscratch.report import figures
from rlscratch.report.table import table

BUDGET = 3  # seconds of processor time
PRINTED = {entry.id: entry.printed for entry in documents.entries()}

# %% The leak.  Rows: questions; columns: the answers "4", "a model", "Paris".
QUESTIONS = ("What's 2+2?", "What's your name?", "Capital of France?")
REFERENCE = np.array([[0.6, 0.2, 0.2], [0.2, 0.6, 0.2], [0.1, 0.1, 0.8]])
REWARDS = np.array([[1.0, 0, 0], [0, 0, 0], [0, 0, 0]])          # nobody rates the other questions
ASKED = np.full(3, 1 / 3)
STEP, STEPS = 10.0, 1500


def train(beta: float, shared: bool) -> list[np.ndarray]:
    """The policy (3, 3) at every step of the ascent on E[R] - beta KL(policy || reference)."""
    z, policies = np.log(REFERENCE), [REFERENCE]
    for _ in range(STEPS):
        gradient = kl_objective_grad(z, REFERENCE, REWARDS, beta, query_probs=ASKED)
        if shared:                # b is in every row
            gradient = np.tile(gradient.sum(axis=0), (3, 1))
        z = z + STEP * gradient
        policies.append(softmax(z))
    return policies


SETTINGS = ((0.0, False), (0.0, True), (0.02, True), (0.1, True), (0.5, True))
runs, rows = {}, [("before", "", *(f"{x:.3f}" for x in REFERENCE[:, 0]), "0.000")]
for beta, shared in SETTINGS:
    runs[beta, shared] = train(beta, shared)
    last = runs[beta, shared][-1]
    distance = kl(last, REFERENCE).mean()
    rows.append(("shared" if shared else "one row a question", beta,
                 *(f"{x:.3f}" for x in last[:, 0]), f"{distance:.3f}"))
print(f"Probability of \"4\" after {STEPS} steps\n")
print(table(("parameters", "beta", *QUESTIONS, "mean KL, nats"), rows))
print(f"\nThe document says P(\"4\") = {PRINTED['S3.params.quality'][-1]:.1%} "
      "for ALL questions without the brake.")

# %% The brake on one sample: "4", reward 1, policy .6, reference .5, beta .01.
logp, logp_ref, beta = np.log(0.6), np.log(0.5), 0.01
distance = kl_k1(logp, logp_ref)
coefficient = kl_coefficient(1.0, logp, logp_ref, beta)
of_libraries = 1 - beta * distance
print()
print(table(("numerical example", "document", "ours"), [
    ("log .6", PRINTED["S3.kl.log06"], f"{logp:.4f}"),
    ("log .5", PRINTED["S3.kl.log05"], f"{logp_ref:.4f}"),
    ("1 + log .6 - log .5", PRINTED["S3.kl.term"], f"{1 + distance:.4f}"),
    ("coefficient 1 - .01 x that", PRINTED["S3.kl.coeff"], f"{coefficient:.4f}"),
    ("without the 1 (libraries)", "-", f"{of_libraries:.4f}")]))
print("\nThe 1 shifts every sample alike and E[grad log p] = 0, "
      "so both have the same mean gradient.")

# %% The optimum of the brake: reference x exp(reward / beta), renormalised.
PREFERENCE, PAID = np.array([0.50, 0.20, 0.30]), np.array([0.9, 0.1, 0.1])    # helpful ... random
exact = 0.8 / np.log(3)            # the odds 50:20 become 75:10: exp(.8 / beta) = 3
policies = {"before": PREFERENCE, "document, after": PRINTED["S3.theta.tilt"]}
for b in (exact, 0.3, 3.0):
    policies[f"optimum at beta = {b:.6g}"] = kl_optimal_policy(PREFERENCE, PAID, b)
print()
print(table(("preference settings", "helpful", "harmful", "random"), [
    (name, *(f"{x:.4f}" for x in p)) for name, p in policies.items()]))


# %% The same as a picture.
def draw() -> None:
    fig, axes = figures.new(columns=2, width=9.0, height=3.5)
    styles = zip("os^", (figures.BLUE, figures.ORANGE, figures.GREEN), strict=True)
    for x, (marker, color) in enumerate(styles):
        for beta, style in ((0.0, "-"), (0.1, ":")):
            line = np.array(runs[beta, True])[1:, x, 0]
            axes[0].semilogx(np.arange(1, STEPS + 1), line, style, color=color, marker=marker, ms=5,
                             markevery=[1, 10, 100, STEPS - 1])
        axes[0].text(1.3 * STEPS, line[-1], QUESTIONS[x], color=color, va="center", fontsize=8)
    axes[0].text(12, 0.62, "dotted:\nbeta = 0.1")
    axes[0].text(12, 1.03, "solid: no brake")
    axes[0].set(title='The leak: only "4" to 2+2 is rewarded', xlabel="steps",
                ylabel='probability of "4"', ylim=(0, 1.1))
    betas = np.geomspace(0.1, 10, 61)
    optima = np.array([kl_optimal_policy(PREFERENCE, PAID, b) for b in betas])
    for i, (name, style, color) in enumerate((("helpful", "-", figures.BLUE),
                                              ("harmful", "--", figures.RED),
                                              ("random", "-.", figures.PURPLE))):
        axes[1].semilogx(betas, optima[:, i], style, color=color)
        axes[1].text(10.5, PREFERENCE[i], name, color=color, va="center")
        axes[1].plot(exact, PRINTED["S3.theta.tilt"][i], "D", color=figures.BLACK, ms=5)
    axes[1].axvline(exact, color=figures.BLACK, lw=0.8, ls=":")
    shares = "/".join(f"{100 * x:.0f}" for x in PRINTED["S3.theta.tilt"])
    axes[1].text(exact * 1.08, 0.9, f"beta = {exact:.3f}:\nthe document's {shares}", va="top")
    axes[1].set(title="The optimum for every beta", xlabel="beta, in units of reward per nat",
                ylabel="probability")
    figures.save(fig, "09_leak_and_kl_brake", "Left: the probability of \"4\" for three questions "
                 "while only the first is rewarded; all parameters are shared. Without a brake "
                 "(solid) \"4\" takes over everywhere, with beta = 0.1 (dotted) it stops. Right: "
                 "the best policy under the penalty for every beta, from all weight on the best "
                 "answer (left) to the reference (right); diamonds are the document's settings.")


draw()

# %% Try it.  Change the last beta from .5 to 2.0 in SETTINGS.  How near to the reference does the
# policy stay?
# What came out: not near at all, .879 and KL .481: a step of 10 times so strong a brake overshoots
# and never settles.  With STEP = 2.0 it is .652 for 2+2, .237 for the name, and KL .004.

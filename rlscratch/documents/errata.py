"""Where a document and a formula part, or agree under one convention only: every finding, in reading order.

Each says what the document says, when that holds and when it does not.  Most findings are entries
of the ledger and carry its note; bars and quotations are none, since nobody claims them.  The 14
unfinished values of document 000's table are one finding.  CLAIMS adds what the documents say
without a number, as far as it can be settled by calculation; each names the test that settles it.
"""
from dataclasses import dataclass, replace

from rlscratch.documents import entries
from rlscratch.documents.entry import Entry

NO_CLAIM = ("drawing", "quoted", "run-dependent")        # kinds that are no finding, or are one together
LEDGER_TEST = "tests/test_documents.py::test_every_entry_holds"
GRADIENT, RETURNS = "tests/test_formulas_policy_gradient.py::", "tests/test_formulas_returns.py::"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that a reader of a document should know.

    document  "000" to "004"
    section   where the document has it
    verdict   "differs" or "convention"
    printed   what the document says
    holds     what holds, and when the document's statement does
    tested    the tests that settle it
    ids       entries of the ledger with the numbers, if any
    """

    document: str
    section: str
    verdict: str
    printed: str
    holds: str
    tested: tuple[str, ...]
    ids: tuple[str, ...] = ()


UNFINISHED = Finding(
    document="000", section="Q-Table with Highlights", verdict="convention",
    printed="The table after training; 14 of its 64 values are not those of the optimum.",
    holds="They are values on the way: moves off the path that the run had seldom tried. None is above the optimum, "
          "nor above the target that the table sets for it. Holds for a run of that length and seed; with enough "
          "exploration every entry is a power of 0.99 or 0.",
    tested=(LEDGER_TEST, "tests/test_formulas_td.py::test_the_fixed_point_on_the_lake_is_the_table_of_document_000"))

CLAIMS = (
    Finding(
        document="000", section="Q-learning Update Rule", verdict="convention",
        printed="Every update adds γ times the best value of the next state.",
        holds="Nothing follows a hole or the goal, so nothing is to be added there: the discount is then 0. Holds for "
              "a table whose rows of these states start at 0 and are never updated, as this one; a network's do not.",
        tested=("tests/test_formulas_td.py::test_nothing_follows_a_terminal_state_whatever_the_table_holds_there",)),
    Finding(
        document="002", section="Key Insights", verdict="differs",
        printed="FrozenLake uses value iteration with Q-learning.",
        holds="Value iteration sweeps over all states with known probabilities; Q-learning moves one entry towards one "
              "sampled target and needs no probabilities. They have the same fixed point. Holds where a move always "
              "leads to one state and α = 1: there an update of every entry is one sweep.",
        tested=("tests/test_documents.py::test_q_learning_is_value_iteration_only_without_chance_and_at_full_step",)),
    Finding(
        document="002", section="Step 8: Update the Policy", verdict="differs",
        printed="The weights are updated so that cream and hockey become likelier if they had a positive advantage.",
        holds="Holds while the ratio is at most 1.2, and so for the first updates on a sample. The ratio of hockey is "
              "1.21 and its advantage positive: there the clipped objective is flat and the gradient 0.",
        tested=("tests/test_documents.py::test_the_clipped_sample_of_document_002_teaches_nothing_more",),
        ids=("S2.clip.objective",)),
    Finding(
        document="002", section="GRPO Step 4", verdict="convention",
        printed="GRPO's loss is minus the advantage times the log-probability, in place of PPO's ratio.",
        holds="The paper keeps the ratio, its clip and a KL term. At the policy that sampled, without the KL term, "
              "both have the same gradient; after the first update they part.",
        tested=("tests/test_formulas_grpo.py::test_on_the_first_step_all_losses_have_one_gradient",
                "tests/test_formulas_grpo.py::test_on_the_second_step_the_documents_loss_and_the_paper_s_part"),
        ids=("S2.grpo.loss",)),
    Finding(
        document="002", section="PPO vs GRPO: Side-by-Side Comparison", verdict="convention",
        printed="GRPO is more robust to noisy rewards, and PPO is sensitive to errors of the value estimate.",
        holds="Holds for wild rewards: with 100 more or less in one of 20, the signal of a group of four of the "
              "document's words is 0.94 of its noise, with a right critic 0.52, with ranks 1.09. With ordinary noise "
              "of 10 the critic has 1.03, the group 0.82. Without noise a critic may be off by 7 and is still better.",
        tested=("tests/test_formulas_grpo.py::"
                "test_a_group_s_scale_helps_against_wild_rewards_and_not_against_ordinary_noise",
                "tests/test_formulas_grpo.py::"
                "test_a_critic_off_by_more_than_the_spread_of_rewards_is_worse_than_the_group")),
    Finding(
        document="004", section="1.4.3 Infinite Horizon", verdict="convention",
        printed="This discounted return goes by the same name as that of documents 000 and 001.",
        holds="Two numbers: 000 and 001 do not discount the first reward, this one does, and its return "
              "is γ times theirs. The best policies are the same. Holds with first_power=1.",
        tested=(RETURNS + "test_the_documents_disagree_on_the_power_of_the_first_reward",
                RETURNS + "test_starting_at_the_first_power_multiplies_the_return_by_gamma"),
        ids=("S1.return", "S4.return.discounted", "S0.path.length")),
    Finding(
        document="004", section="1.5.2 Adding a Baseline", verdict="differs",
        printed="A baseline that does not depend on the action significantly reduces the variance.",
        holds="It leaves the mean as it is; the variance is a parabola in b and grows on the far side. Two answers "
              "with probabilities 0.9 and 0.1 and rewards 1 and 0: the expected reward 0.9 as baseline raises it from "
              "0.0018 to 0.1152. Holds for b nearer than 0 to the best baseline, E[|score|² R]/E[|score|²].",
        tested=(GRADIENT + "test_the_variance_is_a_parabola_around_the_best_baseline",
                GRADIENT + "test_the_expected_reward_as_baseline_can_raise_the_variance")),
    Finding(
        document="004", section="1.5.3 On-policy algorithm", verdict="differs",
        printed="The algorithm takes the mean of the batch for the baseline of 1.5.2, which keeps the mean gradient.",
        holds="1.5.2 asks for a baseline that does not depend on the action. The batch mean contains the sample's own "
              "return, and shrinks the gradient by 1 - 1/N; with several steps it also turns it. Holds for the mean "
              "of the other samples, and for the batch mean as N grows.",
        tested=(GRADIENT + "test_the_batch_mean_shrinks_the_gradient_by_one_in_n",
                GRADIENT + "test_in_longer_episodes_the_batch_mean_bends_the_direction_too",
                GRADIENT + "test_leave_one_out_has_no_bias"),
        ids=("S4.baseline.bias.T1", "S4.baseline.bias.T2")),
)

# The entry after which each claim has its place.
AFTER = ("S0.param.gamma_definition", "S2.reward.table", "S2.clip.objective", "S2.grpo.loss",
         "S2.grpo.loss", "S4.return.discounted", "S4.return.discounted", "S4.return.discounted")


def errata() -> list[Finding]:
    """Every finding, in reading order."""
    findings: list[Finding] = []
    unfinished = replace(UNFINISHED, ids=tuple(e.id for e in entries() if e.kind == "run-dependent"))
    for entry in entries():
        if entry.id == unfinished.ids[0]:
            findings.append(unfinished)
        elif entry.verdict in ("differs", "convention") and entry.kind not in NO_CLAIM:
            findings.append(_finding(entry))
        findings += [claim for claim, after in zip(CLAIMS, AFTER, strict=True) if after == entry.id]
    return findings


def _finding(entry: Entry) -> Finding:
    tested = (LEDGER_TEST, entry.proof) if entry.proof else (LEDGER_TEST,)
    return Finding(document=entry.document, section=entry.section, verdict=entry.verdict, printed=entry.claim,
                   holds=entry.note, tested=tested, ids=(entry.id,))

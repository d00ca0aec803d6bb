"""Document 003, "Understanding LLMs: From Probability Distributions to Intelligent Policies", in reading order."""
from rlscratch.documents.d003_distributions_to_policies import derivation, distributions, feedback, rollouts

ENTRIES = (*distributions.ENTRIES, *rollouts.ENTRIES, *feedback.ENTRIES, *derivation.ENTRIES, *distributions.QUESTIONS)

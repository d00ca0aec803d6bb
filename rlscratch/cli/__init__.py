"""The commands that have no room of their own: training, answers, tokens, proofs."""

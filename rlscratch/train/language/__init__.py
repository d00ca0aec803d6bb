"""Training the transformer: loops over rlscratch.formulas, a command each."""

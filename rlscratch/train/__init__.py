"""Training: loops only.  What they compute is written in rlscratch.formulas."""

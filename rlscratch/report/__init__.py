"""What readers see: the tour's page, the page of `rlscratch rlhf`, tables, figures, curves."""

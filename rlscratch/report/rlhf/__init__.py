"""What `rlscratch rlhf` measured, read from the folders of its stages, and the page that shows it."""

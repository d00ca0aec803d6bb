"""What `rlscratch life` measured, read from the folders of its stages, and the report card that shows it."""

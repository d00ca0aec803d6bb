"""Tasks: where prompts come from and what answers earn."""

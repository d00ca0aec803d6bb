"""Commands that use what training made: text to tokens, and a model's answers."""

"""Transformers that answer prompts, and learn from what their answers earn.

What all methods share, in reading order:

    worlds      what is trained on, and the model that is small enough for it
    chat        a prompt and an answer as one row of tokens
    policy      the one path: answers, log-probabilities, an update
    method      what a method is: steps, settings, the learner
    stages      the runs that a method begins with
    command     options, loop, run
    evaluation  how good a policy is

The methods, each a loop over formulas: sft, reward_model (with feedback and scoring), ppo, grpo, dpo,
expert_iteration; and over_optimisation, which draws what a reward model is worth the farther a policy goes from it.

In the town of tasks.town: knowledge, what a model knows and what it invents; judging, several judges of one answer.
"""

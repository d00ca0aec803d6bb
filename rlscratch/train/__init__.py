"""Training: loops only.  What they compute is written in rlscratch.formulas.

    tabular       policies and values as tables: q_learning, reinforce, ppo, grpo, clone
    dqn           Q-learning with a network
    control       PPO with networks, for actions that are numbers too; the drone
    pretraining   text to a base model
    language      transformers that answer prompts: sft, reward_model, ppo, grpo, dpo, expert_iteration

    variants      the GRPO family as presets, for tables and transformers alike
    on_policy     the ratio is 1 before the first update, or the run stops
    settings      a setting's defaults, check and option, named once
    environments  those of --env: Gymnasium's, or one of your own in a Python file, which from_file loads
    run           a run's folder, and how it goes on where it stopped; model_run: with a transformer's checkpoint
"""

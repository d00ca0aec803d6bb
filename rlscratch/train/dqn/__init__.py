"""DQN: Q-learning with a network instead of a table.

    deep_q_learning   the network, its update, the loop, the command
    replay            the buffer of transitions that updates are drawn from
"""

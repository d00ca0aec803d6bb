"""DQN: Q-learning with a network instead of a table.

    deep_q_learning   the update and the loop
    network           the network, and what it sees of a state
    replay            the buffer of transitions that updates are drawn from
    watched           any environment of Gymnasium, looked at step by step; what a policy earns in it
    worlds            what is trained on, and how good the result is there
    command           rlscratch train dqn
"""

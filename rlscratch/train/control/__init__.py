"""Control: PPO with small networks, for actions that are numbers and for actions from a list.

    drone      the drone of document 004 as an environment
    networks   the actor and the critic, on our autograd; what the actor says of an action
    command    rlscratch train ppo --env ID
    ppo        the loop: many environments side by side, a batch, its epochs
"""

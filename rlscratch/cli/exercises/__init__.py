"""rlscratch check: twenty-two functions to write, and what is said of a wrong one.

    rlscratch check exercises/07_ppo_clip.py

In reading order:

    catalogue   the exercises: our own function, and small inputs, each with what it shows
    marks       a student's function against them, then against the laws of the referee and the proofs of `verify`
    alone       the student's file in a process of its own, within limits
    command     one file, a folder, a class
"""

"""The page of one training run or of two side by side: what was trained on, the objective, curves, samples.

    objective   the loss of a run with its numbers in it
    page        what a folder holds, put on a page
    live        that page at 127.0.0.1 while the run goes on
    command     `rlscratch report RUN [RUN]`; --page and --live of every training command
"""

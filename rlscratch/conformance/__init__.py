"""The referee: which objective does a loss of yours descend, under which convention, and which law does it break?

    libraries    what we say of other libraries, with the version that each sentence was checked against
"""

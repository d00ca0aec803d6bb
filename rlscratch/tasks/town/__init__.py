"""A small town that does not exist: what is true of it, what its internet says, what people ask about it.

In reading order:

    facts       who lives there, and what is true of them; names that nobody has
    pages       the pages of a crawler, a few of which tell these facts
    questions   conversations, and three criteria by which answers are judged
"""

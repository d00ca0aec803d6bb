"""People rank answers by hand: a page, a server, and a file of what they said."""

"""The tour: runs the ladder of examples, draws their figures, and writes a course of eight chapters."""

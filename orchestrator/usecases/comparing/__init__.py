"""Arms answer the same samples, answers are graded, differences are measured."""

"""The pass over a file: the fast accept, the slow explanation, rules per target, and the sums."""

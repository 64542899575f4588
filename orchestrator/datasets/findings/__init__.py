"""What can be wrong with a dataset: codes, findings, and the places they point at."""

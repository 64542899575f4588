"""Reading, validating, converting, counting and splitting datasets."""

"""Arms, samples and answers, and the statistics of their paired differences."""

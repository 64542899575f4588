"""What an answer has to look like, and the calls of tools that are written in it."""

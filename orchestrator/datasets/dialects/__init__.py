"""The shapes that chat data comes in, and how each becomes the other."""

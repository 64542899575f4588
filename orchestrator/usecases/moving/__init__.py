"""What stops, when, and how a fine-tune moves to another model or host."""

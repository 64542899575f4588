"""Files as they come and go: bytes, encodings, compression, lines, tables, and mending."""

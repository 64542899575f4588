"""What rows say: duplicates, secrets, personal data, the keys they are compared by."""

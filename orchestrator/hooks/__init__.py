"""What comes in from outside and what goes out to others: webhooks and notifications."""

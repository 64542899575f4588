"""The checklist: what is asked, what was measured, and the decision that follows."""

"""Jobs from the request to the end: checked, kept, started, buried; and the files they name."""

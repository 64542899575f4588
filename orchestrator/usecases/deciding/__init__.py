"""From a comparison and a price list to a report with a verdict."""

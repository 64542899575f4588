"""Prices, costs and budgets, in decimal dollars with their sources and dates."""

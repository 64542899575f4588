"""The nouns: frozen values, the state machine, statistics, costs, ports and errors."""

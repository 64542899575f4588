"""The verbs: what ftctl does, written against the ports of the domain."""

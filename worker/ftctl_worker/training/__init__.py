"""The trainer's process: rows become batches, batches become weights, steps become checkpoints."""

"""The adapters of many tasks: registered, pushed, verified, served."""

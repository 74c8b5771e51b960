"""The asynchronous classes."""

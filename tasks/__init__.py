"""The parts of the task lifecycle."""

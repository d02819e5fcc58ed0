"""Folds: run and step state as pure functions of the log."""

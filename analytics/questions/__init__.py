"""The questions: a `.sql` file for each relation that is read, and beside it what asks for it."""

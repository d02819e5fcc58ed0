"""What `recorder demo` does."""

"""What is written to files and sent between processes."""

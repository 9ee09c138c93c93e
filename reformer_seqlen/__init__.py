"""What a longer context costs a small language model and what it buys."""

"""From text to tokens, windows and splits."""

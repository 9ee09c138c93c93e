"""From rows of text to pieces: one module a kind of tokenizer."""

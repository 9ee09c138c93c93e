"""The published protocol, held against transformers and datasets doing it on the same rows."""

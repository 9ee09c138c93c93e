"""What talks and stores: terminal, messages, files, paths, heap. It decides no number."""

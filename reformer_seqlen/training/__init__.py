"""Training that can be repeated and resumed."""

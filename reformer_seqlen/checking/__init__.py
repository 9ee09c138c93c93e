"""How `check` compares values: what was computed here against what git's HEAD has."""

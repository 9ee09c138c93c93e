"""Training that repeats and resumes, and how a model is scored."""

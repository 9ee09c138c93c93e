"""The models of a study: what params.yaml asks for, built, and described."""

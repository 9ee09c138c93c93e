"""What all sections of params.yaml share."""

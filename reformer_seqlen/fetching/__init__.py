"""Getting what a source declares: checked, whole or not at all."""

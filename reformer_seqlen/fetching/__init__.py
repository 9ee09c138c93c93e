"""Getting what a source declares: checked, resumed, whole or not at all."""

"""What a model takes: predicted from its configuration, and measured on the device at hand."""

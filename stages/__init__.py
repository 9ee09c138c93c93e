"""The stages of the study, one module each, and the modules that they share."""

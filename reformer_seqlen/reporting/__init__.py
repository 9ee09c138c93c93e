"""From the stages' results to metrics, tables, figures and the README."""

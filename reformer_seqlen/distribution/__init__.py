"""Stages on other machines: what they need, what is sent, the engines, the worker's program."""

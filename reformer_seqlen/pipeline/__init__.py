"""The study as DVC sees it: its stages, what they need, how they are run here and watched."""

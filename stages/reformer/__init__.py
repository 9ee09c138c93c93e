"""The Reformer: stock checkpoints, our own arithmetic, equal to stock by test."""

"""The Reformer: stock checkpoints, our own arithmetic, equal to stock by test.

For a guided tour: `model` (checkpoints to models), `language_model` (the forward pass), `layers`
(the branches of a layer), `chunked_attention` and `hashed_attention` (who sees whom), `hashing`
(buckets), `axial_positions`, `generation`. What makes it fast: `dense`, `dropout`,
`side_by_side`, `precision`, `activations` with `reversible`. What makes it repeatable: `draws`.
"""

"""The Reformer: stock checkpoints, our own arithmetic, equal to stock by test.

For a guided tour: `model` (checkpoints to models), `language_model` (the forward pass), `layers`
(the branches of a layer), `chunked_attention`, `hashed_attention` with `hash_order` (who sees whom)
and `hashing` (buckets), `axial_positions`, `generation`. What makes it fast: `dense`, `dropout`,
`side_by_side`, `precision`, `activations` with `reversible`. What makes it repeatable: `draws`.
"""

"""Sessions: the meaning of a socket's frames, and the browser tab that a socket belongs to.

`tracker` is the entry; `store` (sessions and bounds) <- `membership`, `pending`, `replies` <- `socket` <- `tracker`.
`frame_info` is the result for each frame. The rules of belonging stand in docs/topics/sessions.md.
"""

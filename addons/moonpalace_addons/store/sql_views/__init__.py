"""The views for other programs: `calls`, `messages` and `events`, in plain SQL."""

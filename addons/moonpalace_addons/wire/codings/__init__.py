"""HTTP content codings: gzip, deflate, br and zstd, undone as the bytes arrive."""

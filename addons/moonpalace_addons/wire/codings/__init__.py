"""Incremental decoders of the HTTP content codings gzip, deflate, br and zstd."""

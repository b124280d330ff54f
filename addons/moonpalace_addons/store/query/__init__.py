"""The language of `--predicate`: parsed into a tree, compiled to conditions in SQL."""

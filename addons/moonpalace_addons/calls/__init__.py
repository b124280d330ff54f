"""A call under way: its state, how its bytes pass, how it fails and how it is given up."""

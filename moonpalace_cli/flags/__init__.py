"""The flags that commands share: how each is read, and what it offers the shell."""

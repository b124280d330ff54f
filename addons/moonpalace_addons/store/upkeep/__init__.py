"""Keeping a store small, sound and quickly searched: retention, clean-up, index, health, secrets."""

"""Text for people and programs: JSON, tables, colours, durations, bars."""

"""A call as text for people: in one line, as a conversation, as the events of its stream."""

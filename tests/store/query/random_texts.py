"""Texts that are not valid predicates, or hardly."""

from hypothesis import strategies as st

PIECES = (
    *("&&", "||", "(", ")", "not", "!", "and", "or", "in", "==", "!=", ">", ">=", "<", "<=", "~", "!~", "%", "!%", "@"),
    *("!@", "[", "]", ",", "'", '"', "`", ".", "*", "\\", "len", "true", "NULL", "-1", "0", "1.5", "2h", " ", "\n"),
    *("'; DROP TABLE exchanges; --'", "'x'", "';'", '"x"', "id", "request_body.messages.*.role", "text", "tags", "月"),
)
RANDOM = st.one_of(st.text(max_size=60), st.lists(st.sampled_from(PIECES), max_size=25).map(" ".join))

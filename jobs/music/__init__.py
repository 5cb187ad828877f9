"""Files of a library: what is there, what they say of themselves, and how one becomes another."""

"""Log line formats: bytes of one line in, an event out."""

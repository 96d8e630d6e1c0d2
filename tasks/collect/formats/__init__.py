"""Log line formats: bytes of one line in, events out."""

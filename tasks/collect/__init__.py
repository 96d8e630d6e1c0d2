"""Find and read log objects: S3 or a directory in, parsed events out."""

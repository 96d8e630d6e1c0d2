"""Judge one suspect: a Bedrock model or the deterministic rules analyst."""

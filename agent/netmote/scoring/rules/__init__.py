"""Rules: YAML conditions over features and facts, evaluated over whole vector batches."""

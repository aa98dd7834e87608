"""The YAML document to checked frozen values, with the line of every error. Knows no component: each model stands beside its component."""

"""The NATS JetStream sink."""

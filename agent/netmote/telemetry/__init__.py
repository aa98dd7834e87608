"""The agent about itself: metrics, structured logs, health and the degradation ladder. May import the floor and records only."""

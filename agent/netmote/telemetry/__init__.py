"""The agent about itself: metrics, structured logs, health and the degradation ladder. May import config and the floor only."""

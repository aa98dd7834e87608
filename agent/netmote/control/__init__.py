"""The control socket: a Unix socket under the state directory. Commands that change state go through it; live streams come out of it."""

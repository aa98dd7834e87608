"""`python -m netmote` is the command line."""

from netmote.cli.main import run

if __name__ == "__main__":
    run()

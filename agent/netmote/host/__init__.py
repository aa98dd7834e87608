"""This machine to host records and facts (psutil). May import records and the floor."""

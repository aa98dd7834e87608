"""The journal sink."""

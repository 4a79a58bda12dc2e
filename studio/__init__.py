"""The browser application and the command line. Never imports torch, nor parses a user's file."""

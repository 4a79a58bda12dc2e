"""Asking a finished model: a process that holds it, and the client by which the rest of the studio talks to it."""

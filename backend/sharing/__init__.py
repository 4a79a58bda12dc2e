"""A finished run for others: a zip, a model on the Hub, a Space. Knows nothing of torch or Gradio.

`tokens`, `package` and `publishing` are what screens and command line use; `card` and `space` write the texts;
`publisher` uploads, in a process of its own, and is the only part that speaks to the Hub.
"""

"""Background processes that outlive the studio: their folders, events, states and ends. Knows nothing of torch or Gradio."""

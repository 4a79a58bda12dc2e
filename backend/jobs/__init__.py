"""Background processes that outlive the studio: folders, events, states, ends. Knows nothing of torch or Gradio."""

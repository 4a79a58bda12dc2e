"""Everything that is not a screen: data, models, training, jobs, sharing. Knows nothing of Gradio."""

"""Users' tables: reading, profiling, describing, labelling and splitting them. Knows nothing of models' weights."""

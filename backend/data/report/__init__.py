"""The parts of the report on a table: each module looks for one kind of thing. `backend.data.describing` joins them."""

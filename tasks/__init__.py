"""The steps of the pipeline, one package per step."""

import gc

# The libraries make some hundred thousand objects that stay. By default Python looks through all
# of them, for cycles that nobody needs any more, many times while they are made.
gc.set_threshold(50_000)

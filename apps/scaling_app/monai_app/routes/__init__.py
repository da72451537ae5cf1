"""Routes that stand before MONAI Label's own of the same address.

MONAI Label's handlers run in its one event loop and answer a mistake with "500 Internal Server Error".
These check first, answer with a 4xx that says what is wrong, and then call MONAI Label's own function, in
a worker thread so that a large label or a prediction keeps nobody waiting. Roles are MONAI Label's.
"""

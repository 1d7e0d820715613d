"""What somebody does who got hold of a part of the system, and what comes of it."""

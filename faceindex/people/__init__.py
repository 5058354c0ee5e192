"""People: what the user says about faces, and what follows from it.

A *cluster* is what the program believes. A *person* is what the user says. What the user says is a journal
of decisions (`faceindex.store.decisions`): it is never overruled, and each decision can be undone.
"""

"""What people take away: crops, tables, embeddings and the photos of each cluster, as files.

Submodules are imported by whoever needs them.
"""

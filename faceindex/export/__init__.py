"""Export of crops, boxes, embeddings, clusters and galleries as files.

Importing this package imports none of its modules.
"""

"""The same stages on other engines: Ray computes, Milvus searches."""

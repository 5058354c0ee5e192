"""The server of the page for one index, on this machine only. It uses the API, and no other room but `page`."""

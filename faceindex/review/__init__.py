"""The server of the page, on this machine only. It uses the API, and no other room but `page`."""

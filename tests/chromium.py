"""How tests start Chromium."""

from __future__ import annotations

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

# Requests from background services must not be mixed with those of the page.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

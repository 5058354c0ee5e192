// The source of a gallery: everything is in the page.

// Keyboard shortcuts and the dialog that lists them.

// Which faces are selected, and what can be done with them.

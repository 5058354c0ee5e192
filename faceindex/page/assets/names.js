// The choice of a person by name, with suggestions.

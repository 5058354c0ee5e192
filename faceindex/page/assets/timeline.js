// The faces of a person by year and month.

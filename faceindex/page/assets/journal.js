// Decisions as lines of a journal that `faceindex people apply` reads.

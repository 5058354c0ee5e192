// The language of search: Anna & (Ben | Carl) & !c7.

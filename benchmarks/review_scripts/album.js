() => {
  const { album, actions } = window.app;
  const sizes = {};
  for (const [key, group] of album.groups) sizes[key] = group.size;
  return {
    face: [...album.face], cluster: [...album.cluster], person: [...album.person], label: [...album.label], similarity: [...album.similarity],
    people: [...album.people.values()], cluster_person: [...album.clusterPerson], generation: album.generation, decision: album.decision,
    undo: album.undoText, undo_number: album.undoNumber, sizes, unsaved: actions.pending.length,
  };
}

async () => {
  const app = window.app = await APP;
  const { album, actions } = app;
  window.counts = {};
  window.problems = [];
  window.stored = []; // ids of the decisions that the server has answered
  const { source } = app;
  const act = source.act;
  source.act = async (...given) => {
    const answer = await act.apply(source, given);
    if ((answer.decided?.number ?? null) !== null) window.stored.push(given[0].id); // it changed something
    return answer;
  };
  const tell = actions.report.problem;
  let again = null;
  actions.report.problem = (problem, repeat) => {
    window.problems.push([problem.kind, problem.message]);
    again = repeat;
    tell(problem, repeat);
  };
  window.batch = async (seed, number, names) => {
    let state = seed >>> 0;
    const random = () => { // mulberry32
      state = (state + 0x6d2b79f5) >>> 0;
      let t = Math.imul(state ^ (state >>> 15), 1 | state);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
    const pick = (list) => list[Math.floor(random() * list.length)];
    const some = (positions, most) => [...new Set(Array.from({ length: 1 + Math.floor(random() * most) }, () => album.face[pick(positions)]))];
    const groups = () => [...album.groups.values()].filter((group) => group.size);
    const clusters = () => groups().filter((group) => group.isCluster);
    const people = () => groups().filter((group) => group.isPerson);
    const anyone = () => pick([...album.people.keys()]);
    const make = {
      name: () => {
        const group = pick(clusters());
        return group && { do: "name", name: pick(names), clusters: [group.id] };
      },
      nameFaces: () => ({ do: "name", name: pick(names), faces: some(pick(groups()).faces, 4) }),
      confirm: () => {
        const group = pick(people());
        return group && { do: "confirm", faces: some(group.faces, 5), person: random() < 0.5 ? group.id : undefined };
      },
      reject: () => {
        const group = pick([...people(), ...clusters()]);
        return group && { do: "reject", faces: some(group.faces, 3), person: group.isPerson ? group.id : undefined };
      },
      ignore: () => (random() < 0.7 ? { do: "ignore", faces: some(pick(groups()).faces, 3) } : pick(clusters()) && { do: "ignore", clusters: [pick(clusters()).id] }),
      not_a_face: () => ({ do: "not_a_face", faces: some(pick(groups()).faces, 2) }),
      same: () => {
        const [one, other] = [pick(clusters()), pick(groups().filter((group) => group.key !== "ignored"))];
        return one && other && one !== other && { do: "same", faces: [...some(one.faces, 2), ...some(other.faces, other.key === "none" ? 1 : 2)] };
      },
      different: () => {
        const [one, other] = [pick(clusters()), pick(groups())];
        return one && other && one !== other && { do: "different", one: some(one.faces, 2), other: some(other.faces, 2) };
      },
      split: () => {
        const group = pick([...people(), ...clusters()].filter((each) => each.size > 2));
        if (!group) return null;
        const faces = some(group.faces, 3);
        return { do: "split", [group.isPerson ? "person" : "cluster"]: group.id, faces, ...(random() < 0.5 ? { name: pick(names) } : {}) };
      },
      merge: () => {
        const [into, other] = [anyone(), anyone()];
        return into !== undefined && into !== other && { do: "merge", into, others: [other] };
      },
      rename: () => ({ do: "rename", person: anyone(), name: `${pick(names)} ${Math.floor(random() * 1000)}` }),
      born: () => ({ do: "born", person: anyone(), date: random() < 0.8 ? String(1900 + Math.floor(random() * 60)) : null }),
      died: () => ({ do: "died", person: anyone(), date: random() < 0.8 ? String(2010 + Math.floor(random() * 10)) : null }),
      hide: () => ({ do: "hide", person: anyone(), hidden: random() < 0.6 }),
      note: () => ({ do: "note", person: anyone(), note: random() < 0.8 ? `Note ${Math.floor(random() * 1000)}` : null }),
      undo: () => ({ do: "undo" }),
      answer: async () => {
        const found = await app.source.questions(5, album.generation);
        const question = pick(found.questions.filter((each) => isOpen(album, each)));
        if (!question) return null;
        const replies = question.kind === "who" ? ["ignore", null] : ["yes", "no", "ignore", null];
        const reply = pick(replies);
        const given = reply ? { reply } : question.kind === "who" || random() < 0.5 ? { name: pick(names) } : { wrong: [question.faces[0]] };
        if (given.wrong && question.kind !== "is" && question.kind !== "anyone") return null;
        if (given.name && question.kind === "anyone") return null;
        return { do: "answer", question: question.id, ...given, as: meaningOf(album, question, given) };
      },
    };
    const verbs = Object.keys(make).flatMap((verb) => Array(({ name: 4, confirm: 3, reject: 3, undo: 3, answer: 3 })[verb] ?? 1).fill(verb));
    for (let i = 0; i < number; i++) {
      const verb = pick(verbs);
      const action = await make[verb]();
      if (!action || action.person === undefined && ["rename", "born", "died", "hide", "note"].includes(action.do)) continue;
      window.counts[verb] = (window.counts[verb] ?? 0) + 1;
      const made = action.do === "undo" ? actions.undo() : actions.do(action);
      if (random() < 0.4) await made;
      if (again && random() < 0.5) actions.do && again();
      again = null;
    }
    while (actions.pending.length) await new Promise((done) => setTimeout(done, 10));
    window.finished = seed;
  };
}

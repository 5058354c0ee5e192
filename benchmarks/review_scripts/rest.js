async () => {
  const started = performance.now();
  await new Promise((done) => setTimeout(done, 100));
  const [painted, cells] = window.painted();
  for (let i = 0; i < 200; i++) {
    const now = window.painted();
    if (now[0] === now[1]) break;
    await new Promise((done) => setTimeout(done, 10));
  }
  return [painted, cells, performance.now() - started];
}

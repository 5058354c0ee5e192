async () => {
  const app = await APP;
  window.app = app;
  const grid = app.current.grid;
  const cells = () => {
    const box = grid.element.getBoundingClientRect();
    const bar = document.getElementById("bar").offsetHeight;
    const first = Math.max(0, Math.floor((bar - box.top) / grid.rowHeight));
    const last = Math.min(grid.rows - 1, Math.floor((innerHeight - 1 - box.top) / grid.rowHeight));
    const found = [];
    for (let i = first * grid.columns; i < Math.min(grid.items.length, (last + 1) * grid.columns); i++) found.push(grid.shown.get(i) ?? null);
    return found;
  };
  window.cellsNow = cells;
  const isPainted = (node) => node !== null && (node.style.backgroundImage || node.querySelector(".thumb")?.style.backgroundImage || node.querySelector(".thumb")?.classList.contains("no-picture"));
  window.painted = () => { const all = cells(); return [all.filter(isPainted).length, all.length]; };
  const log = { frames: 0, moved: 0, late: 0, blank: 0, blankCells: 0, cells: 0, unpainted: 0, elements: 0, longest: 0 };
  window.log = log;
  window.recording = true;
  let before = scrollY;
  let last = performance.now();
  // As the page finds a new place: before it draws for it. The compositor may have shown this already.
  addEventListener("scroll", () => { if (window.recording && cells().some((node) => node === null)) log.late++; }, { passive: true, capture: true });
  const frame = () => requestAnimationFrame((time) => {
    // After all callbacks of this frame, and its painting.
    const place = scrollY;
    const channel = new MessageChannel();
    channel.port1.onmessage = () => {
      channel.port1.close();
      if (!window.recording) return;
      log.frames++;
      log.longest = Math.max(log.longest, time - last);
      last = time;
      if (scrollY !== before && scrollY === place) {
        log.moved++;
        before = scrollY;
        const all = cells();
        const blank = all.filter((node) => node === null).length;
        log.cells += all.length;
        log.blankCells += blank;
        log.blank += blank > 0;
        log.unpainted += all.length - all.filter(isPainted).length;
        log.elements = Math.max(log.elements, document.getElementsByTagName("*").length);
      }
      frame();
    };
    channel.port2.postMessage(null);
  });
  frame();
}

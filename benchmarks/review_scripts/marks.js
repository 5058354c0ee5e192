() => {
  const started = performance.timeOrigin;
  const of = (part) => performance.getEntriesByType("resource").filter(({ name }) => name.includes(part));
  const [album] = of("api/album");
  const thumbnails = of("thumbnails?");
  const page = performance.getEntriesByType("navigation")[0];
  return {
    page: page.responseEnd, script: page.domContentLoadedEventEnd, album_asked: album?.requestStart, album_begins: album?.responseStart,
    album_there: album?.responseEnd, cards: window.cardsAt - started,
    thumbnails_asked: thumbnails[0]?.requestStart, thumbnails_begin: thumbnails[0]?.responseStart, screen: window.screenAt - started,
  };
}

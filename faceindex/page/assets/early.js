// What a live page does before its style and its script have arrived: it asks for the album, and for the pictures of the people
// who are shown first. They come meanwhile. `LiveSource` takes the answers.

const EARLY = (() => {
  const { secret } = JSON.parse(document.getElementById("config").textContent);
  const ask = (path) => fetch(path, { headers: { "faceindex-page": secret } }).then((response) => (response.ok ? response : null));
  const album = ask("api/album").then((response) => response?.arrayBuffer() ?? null);
  const cards = Math.ceil((innerWidth * innerHeight) / 30000); // about as many as there is room for
  const covers = location.hash.length > 1 ? null : ask(`thumbnails?covers=${Math.max(1, Math.min(128, cards))}`);
  // What does not come is asked for again, and then the page says what the problem is.
  return { album: album.catch(() => null), covers: covers?.catch(() => null) };
})();

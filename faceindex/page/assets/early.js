// What a live page does before its style and its script have arrived: it asks for the album, which comes meanwhile.
// `LiveSource` takes the answer.

const EARLY = (() => {
  const { secret } = JSON.parse(document.getElementById("config").textContent);
  const album = fetch("api/album", { headers: { "faceindex-page": secret } }).then((response) => (response.ok ? response.arrayBuffer() : null));
  return { album: album.catch(() => null) }; // it is asked for again, and the page says what the problem is
})();

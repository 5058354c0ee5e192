(() => {
  if (location.search) return; // the exchange of the token
  const now = () => performance.timeOrigin + performance.now();
  const look = () => {
    const seen = [...document.querySelectorAll(".grid.people .item")].filter((item) => item.getBoundingClientRect().top < innerHeight);
    if (seen.length && !window.cardsAt) window.cardsAt = now();
    const drawn = seen.length && seen.every((item) => {
      const thumb = item.querySelector(".thumb");
      return thumb.style.backgroundImage || thumb.classList.contains("no-picture");
    });
    if (!drawn) return void requestAnimationFrame(look);
    // The frame after the next one begins when the pictures have been painted.
    requestAnimationFrame(() => requestAnimationFrame(() => {
      window.pictures = seen.filter((item) => item.querySelector(".thumb").style.backgroundImage).length;
      window.cells = seen.length;
      window.screenAt = now();
    }));
  };
  requestAnimationFrame(look);
})()

(function () {
  "use strict";
  let figures = JSON.parse(document.getElementById("figures").textContent);
  const config = { displayModeBar: false, responsive: false };
  const SLICE_MS = 30; // of drawing; then the page may answer the reader

  function resolve(value, style) {
    if (typeof value === "string" && value.startsWith("@")) return style.getPropertyValue("--" + value.slice(1)).trim();
    if (Array.isArray(value)) return value.map((item) => resolve(item, style));
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, resolve(item, style)]));
    }
    return value;
  }

  function widthOnPaper(place) {
    if (place.closest(".panels")) return 315;
    return place.classList.contains("square") ? 460 : 650;
  }

  function drawOne(id, style, onPaper) {
    const place = document.getElementById(id);
    if (!place) return;
    const themed = resolve(figures[id], style);
    const size = { width: onPaper ? widthOnPaper(place) : place.clientWidth, height: place.clientHeight };
    Plotly.react(place, themed.data, { ...themed.layout, ...size }, config);
  }

  // Pictures are drawn when they come near: a page may hold hundreds.
  const near = new Set();
  const stale = new Set();
  let slice = 0;
  const watch = new IntersectionObserver(function (entries) {
    for (const entry of entries) near[entry.isIntersecting ? "add" : "delete"](entry.target.id);
    clearTimeout(slice);
    drawNear();
  }, { rootMargin: "800px" });

  function drawNear() {
    const style = getComputedStyle(document.documentElement);
    const until = performance.now() + SLICE_MS;
    for (const id of near) {
      if (!stale.delete(id)) continue;
      drawOne(id, style, false);
      if (performance.now() > until) { slice = setTimeout(drawNear); return; }
    }
    document.documentElement.dataset.drawn = Object.keys(figures).length - stale.size;
  }

  function draw(onPaper) {
    Object.keys(figures).forEach((id) => stale.add(id));
    clearTimeout(slice);
    if (!onPaper) { drawNear(); return; }
    const style = getComputedStyle(document.documentElement);
    stale.forEach((id) => drawOne(id, style, true));
    stale.clear();
  }

  function watchFigures() {
    watch.disconnect();
    near.clear();
    stale.clear();
    Object.keys(figures).forEach(function (id) {
      const place = document.getElementById(id);
      if (!place) return;
      stale.add(id);
      watch.observe(place);
    });
    if (!stale.size) drawNear();
  }

  let waiting = 0;
  let drawnWidth = 0;
  function later() {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(function () {
      if (document.documentElement.clientWidth !== drawnWidth) {
        drawnWidth = document.documentElement.clientWidth;
        draw();
      }
    });
  }

  watchFigures();
  drawnWidth = document.documentElement.clientWidth;
  window.addEventListener("resize", later);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw());
  window.addEventListener("beforeprint", () => draw(true));
  window.addEventListener("afterprint", () => draw());

  function offerCopies() {
    document.querySelectorAll("button[data-copy]").forEach((button) => { button.hidden = false; });
  }
  offerCopies();
  document.addEventListener("click", function (event) {
    const button = event.target.closest("button[data-copy]");
    if (!button) return;
    const source = document.getElementById(button.dataset.copy);
    const done = () => { button.textContent = "Copied"; setTimeout(() => { button.textContent = "Copy the text"; }, 2000); };
    function bySelection() {
      getSelection().selectAllChildren(source);
      if (document.execCommand("copy")) done();
      getSelection().removeAllRanges();
    }
    if (navigator.clipboard && window.isSecureContext) {
      navigator.clipboard.writeText(source.textContent).then(done, bySelection);
    } else {
      bySelection();
    }
  });

  // for live.js: other sections with other figures in the same place
  window.showSections = function (place, html, newFigures) {
    place.querySelectorAll(".js-plotly-plot").forEach((plot) => Plotly.purge(plot));
    place.innerHTML = html;
    figures = newFigures;
    delete document.documentElement.dataset.drawn;
    offerCopies();
    watchFigures();
  };
})();

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

  let round = 0;
  function draw(onPaper) {
    const style = getComputedStyle(document.documentElement);
    const ids = Object.keys(figures);
    const mine = ++round;
    let next = 0;
    function slice() {
      if (mine !== round) return;
      const until = performance.now() + SLICE_MS;
      while (next < ids.length && (onPaper || performance.now() < until)) drawOne(ids[next++], style, onPaper);
      if (next < ids.length) setTimeout(slice);
      else document.documentElement.dataset.drawn = ids.length;
    }
    slice();
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

  draw();
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
    draw();
  };
})();

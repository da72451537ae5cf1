(function () {
  "use strict";
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const config = { displayModeBar: false, responsive: false };

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

  function draw(onPaper) {
    const style = getComputedStyle(document.documentElement);
    for (const [id, figure] of Object.entries(figures)) {
      const place = document.getElementById(id);
      if (!place) continue;
      const themed = resolve(figure, style);
      const size = { width: onPaper ? widthOnPaper(place) : place.clientWidth, height: place.clientHeight };
      Plotly.react(place, themed.data, { ...themed.layout, ...size }, config);
    }
    document.documentElement.dataset.drawn = Object.keys(figures).length;
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

  document.querySelectorAll("button[data-copy]").forEach(function (button) {
    button.hidden = false;
    button.addEventListener("click", function () {
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
  });
})();

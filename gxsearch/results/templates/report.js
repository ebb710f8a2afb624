"use strict";
(function () {
  // Draws each figure from the JSON beside it when it comes near the window, and all of them before printing.
  var options = {
    responsive: true, displaylogo: false,
    modeBarButtons: [["zoom2d", "pan2d", "resetScale2d", "toImage"]]
  };
  var bare = { responsive: true, displayModeBar: false };
  function draw(figure) {
    if (figure.dataset.drawn) return;
    figure.dataset.drawn = "yes";
    var told = JSON.parse(figure.querySelector("script").textContent);
    Plotly.newPlot(figure.querySelector(".plot"), told.data, told.layout, told.layout.modebar ? options : bare);
  }
  var figures = Array.prototype.slice.call(document.querySelectorAll("figure.live"));
  var seen = new IntersectionObserver(function (entries) {
    entries.forEach(function (entry) { if (entry.isIntersecting) draw(entry.target); });
  }, { rootMargin: "800px" });
  figures.forEach(function (figure) { seen.observe(figure); });
  window.addEventListener("beforeprint", function () { figures.forEach(draw); });
})();

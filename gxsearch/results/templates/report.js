"use strict";
(function () {
  // Draws each figure from the JSON beside it when it comes near the window; before printing all but folded ones.
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
  // What scales a figure with its column on paper: the box of each of its layers, and the shape of them all.
  function fit(figure, printing) {
    var box = figure.querySelector(".svg-container"), first = figure.querySelector(".main-svg");
    if (!first) return;
    var width = first.width.baseVal.value, height = first.height.baseVal.value;
    box.style.aspectRatio = printing ? width + " / " + height : "";
    box.querySelectorAll(".main-svg").forEach(function (layer) {
      if (printing) layer.setAttribute("viewBox", "0 0 " + width + " " + height);
      else layer.removeAttribute("viewBox");
    });
  }
  window.addEventListener("beforeprint", function () {
    figures.forEach(function (figure) {
      if (figure.closest("details:not([open])")) return;
      draw(figure);
      fit(figure, true);
    });
  });
  window.addEventListener("afterprint", function () { figures.forEach(function (figure) { fit(figure, false); }); });
})();

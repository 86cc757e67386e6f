"use strict";
const viewer = document.getElementById("viewer");
const control = (id) => document.getElementById(id);

function showOpacity() {
  viewer.style.setProperty("--heat", control("opacity").value / 100);
  control("opacity-value").textContent = control("opacity").value + " %";
}

function showLayers() {
  viewer.classList.toggle("no-heat", !control("show-heat").checked);
  viewer.classList.toggle("no-mark", !control("show-mark").checked);
  viewer.dataset.scale = control("scale").value;
}

function pressKey(event) {
  const id = { h: "show-heat", p: "show-mark" }[event.key.toLowerCase()];
  if (!id || event.ctrlKey || event.metaKey || event.altKey || event.target.tagName === "SELECT") return;
  control(id).click();
}

control("opacity").addEventListener("input", showOpacity);
for (const id of ["show-heat", "show-mark", "scale"]) control(id).addEventListener("change", showLayers);
document.addEventListener("keydown", pressKey);
showOpacity();
showLayers();

"use strict";
const search = document.getElementById("search");
const studies = [...document.querySelectorAll(".study")];
const words = studies.map((study) => study.textContent.toLowerCase());
const shown = () => studies.filter((study) => !study.hidden);

function find() {
  const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  studies.forEach((study, index) => { study.hidden = !wanted.every((word) => words[index].includes(word)); });
  const count = shown().length;
  document.getElementById("found").textContent = count + " of " + studies.length;
  document.getElementById("nothing").hidden = count > 0 || studies.length === 0;
}

function move(step) {
  const list = shown();
  const at = list.indexOf(document.activeElement);
  const next = at < 0 ? (step > 0 ? 0 : list.length - 1) : Math.min(Math.max(at + step, 0), list.length - 1);
  if (list[next]) list[next].focus();
}

function pressKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target === search;
  const step = { ArrowDown: 1, ArrowUp: -1, ...(typing ? {} : { j: 1, k: -1, J: 1, K: -1 }) }[event.key];
  if (step) move(step);
  else if (event.key === "/" && !typing) search.focus();
  else if (event.key === "Escape" && typing) { search.value = ""; find(); search.blur(); }
  else if (event.key === "Enter" && typing && shown().length) shown()[0].focus();
  else return;
  event.preventDefault();
}

search.addEventListener("input", find);
document.addEventListener("keydown", pressKey);
find();

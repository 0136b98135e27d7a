"use strict";

// Reading values off a figure: the pointer, or the arrow keys, choose a step; the legend shows its values.
for (const figure of document.querySelectorAll("figure.chart")) {
  const svg = figure.querySelector("svg");
  const pointer = figure.querySelector(".pointer");
  const at = figure.querySelector(".at");
  const steps = JSON.parse(figure.dataset.steps);
  const xs = JSON.parse(figure.dataset.xs);
  const entries = [...figure.querySelectorAll("[data-values]")].map((node) => [node, JSON.parse(node.dataset.values)]);
  let chosen = steps.length - 1;

  const show = (index, visible) => {
    chosen = Math.min(Math.max(index, 0), steps.length - 1);
    at.textContent = `step ${steps[chosen]}`;
    for (const [node, values] of entries) node.textContent = values[chosen];
    pointer.setAttribute("x1", xs[chosen]);
    pointer.setAttribute("x2", xs[chosen]);
    pointer.style.opacity = visible ? 0.5 : 0;
  };
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width;
    let nearest = 0;
    xs.forEach((other, index) => { if (Math.abs(other - x) < Math.abs(xs[nearest] - x)) nearest = index; });
    show(nearest, true);
  });
  svg.addEventListener("pointerleave", () => show(steps.length - 1, false));
  svg.addEventListener("blur", () => show(steps.length - 1, false));
  svg.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!move) return;
    event.preventDefault();
    show(chosen + move, true);
  });
}

// One sound at a time.
const players = [...document.querySelectorAll("audio")];
for (const player of players) {
  player.addEventListener("play", () => players.forEach((other) => { if (other !== player) other.pause(); }));
}

document.getElementById("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
});

// Paper shows everything, in ink on white.
let theme;
addEventListener("beforeprint", () => {
  theme = document.documentElement.dataset.theme;
  document.documentElement.dataset.theme = "light";
  for (const details of document.querySelectorAll("details:not(.others)")) details.open = true;
});
addEventListener("afterprint", () => {
  if (theme) document.documentElement.dataset.theme = theme; else delete document.documentElement.dataset.theme;
});

"use strict";
// Which page is shown, the colours, and the keys.

const SECTIONS = {
  summary: ["Summary", () => true, (index) => summaryPage(index)],
  benchmarks: ["Benchmarks", (index) => index.benchmarks.length, (index, part) => benchmarksPage(index, part)],
  gallery: ["Gallery", (index) => index.galleries.length, (index, part, query) => new Gallery(index, Number(part) in index.galleries ? Number(part) : 0, query)],
  training: ["Training", (index) => index.trainings.length, (index) => trainingPage(index)],
  rewards: ["Rewards", (index) => index.rewards.length, (index) => rewardsPage(index)],
  figures: ["Figures", (index) => index.figures.length, (index) => figuresPage(index)],
  recipes: ["Recipes", (index) => index.runs.length, (index, part) => recipesPage(index, part)],
};

const main = document.getElementById("main");
const keys = document.getElementById("keys");
const themeButton = document.getElementById("theme");
let gallery = null;
let visit = 0;

async function render(first) {
  const mine = ++visit;
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [section, part] = path.split("/").map(decodeURIComponent);
  const index = await load("index");
  const name = section in SECTIONS && SECTIONS[section][1](index) ? section : "summary";
  const page = await SECTIONS[name][2](index, part || "", new URLSearchParams(query));
  if (mine !== visit) return;
  gallery = page instanceof Gallery ? page : null;
  const nodes = (gallery ? gallery.nodes : page).flat(Infinity).filter(Boolean);
  main.replaceChildren(...nodes);
  document.title = `${main.querySelector("h1").textContent.trim()} · suder-bench report`;
  for (const link of document.querySelectorAll("header nav a")) {
    if (link.dataset.name === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (!first) { main.focus({ preventScroll: true }); scrollTo(0, 0); }
  if (gallery) await gallery.filter();
}

async function shown(first) {
  try {
    await render(first);
  } catch (error) {
    main.replaceChildren(h("h1", {}, "This page cannot be shown"), h("p.warn", {}, String(error.message || error)));
  }
}

function theme(next) {
  const order = ["auto", "light", "dark"];
  let chosen = "auto";
  try { chosen = localStorage.getItem("theme") || "auto"; } catch { /* no storage on this page */ }
  if (next) {
    chosen = order[(order.indexOf(document.documentElement.dataset.theme) + 1) % order.length];
    try { localStorage.setItem("theme", chosen); } catch { /* kept until the page is left */ }
  }
  document.documentElement.dataset.theme = order.includes(chosen) ? chosen : "auto";
  themeButton.textContent = { auto: "◐ auto", light: "○ light", dark: "● dark" }[document.documentElement.dataset.theme];
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches("input, select, textarea")) {
    if (event.key === "Escape" && event.target.type === "search") { event.target.blur(); event.preventDefault(); }
    return;
  }
  if (keys.open) return;
  if (event.key === "?") keys.showModal();
  else if (gallery && gallery.key(event)) event.preventDefault();
  else if (/^[1-9]$/.test(event.key) && !(gallery && gallery.dialog.open)) document.querySelectorAll("header nav a")[Number(event.key) - 1]?.click();
});

document.querySelector(".skip").addEventListener("click", (event) => { event.preventDefault(); main.focus(); }); // "#main" is no section
document.getElementById("help").addEventListener("click", () => keys.showModal());
themeButton.addEventListener("click", () => theme(true));
addEventListener("hashchange", () => shown(false));
theme(false);
load("index").then((index) => {
  const links = Object.entries(SECTIONS).filter(([, [, there]]) => there(index));
  document.querySelector("header nav").append(...links.map(([name, [title]]) => h("a", { href: `#/${name}`, "data-name": name }, title)));
}).catch(() => {}).then(() => shown(true));

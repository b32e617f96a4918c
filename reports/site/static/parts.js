"use strict";
// What all pages are made of: data files, elements, numbers. Texts only ever become text nodes and attributes.

const store = new Map();
const loading = new Map();
const receive = (name, value) => store.set(name, value); // every file in data/ calls this

function load(name) {
  if (!loading.has(name)) {
    loading.set(name, new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = `data/${name}.js`;
      script.onload = () => resolve(store.get(name));
      script.onerror = () => { loading.delete(name); reject(new Error(`data/${name}.js cannot be read`)); };
      document.head.append(script);
    }));
  }
  return loading.get(name);
}

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value === true) node.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(key, value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

// h("p.quiet", {title: "..."}, "text", ...) is <p class="quiet" title="...">text...</p>
function h(kind, attributes = {}, ...children) {
  const [tag, ...classes] = kind.split(".");
  const node = document.createElement(tag);
  if (classes.length) node.className = classes.join(" ");
  return fill(node, attributes, children);
}

function s(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function number(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  if (size >= 10) return value.toFixed(1);
  return size > 0 && size < 0.0005 ? value.toExponential(1) : value.toFixed(3);
}

// Without the sign of a zero.
const fixed = (value, digits) => (Number(value.toFixed(digits)) + 0).toFixed(digits);
const short = (value) => (value === null ? "–" : String(Number(value.toFixed(3)))); // of a single verdict: 10, 3.8, 0.053
const FEW = "~";
const isFew = (few) => few !== null && few !== undefined;
const interval = (low, high, few) => (low === null || high === null ? "–" : `${number(low)} to ${number(high)}`) + (isFew(few) ? FEW : "");
// What the signs beside, or in place of, intervals mean: metrics as {low, high, few_clusters}.
const remarks = (index, metrics) => h("ul.notes", {},
  metrics.some((one) => isFew(one.few_clusters)) && h("li", {}, `${FEW} ${index.few_clusters}`),
  metrics.some((one) => one.low === null || one.high === null) && h("li", {}, `– ${index.missing}`));
const many = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;

const WORLD = "embedded world";
const worldBadge = () => h("span.badge", { title: "Scored on the embedded world, not comparable with published numbers" }, WORLD);

// A table wider than its page scrolls by itself.
function scrolling(label, table) {
  return h("div.scroll", { role: "region", "aria-label": label, tabindex: "0" }, table);
}

function details(summary, open, ...children) {
  return h("details", { open }, h("summary", {}, summary), ...children);
}

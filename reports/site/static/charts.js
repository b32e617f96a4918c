"use strict";
// Dots with intervals, and curves; colours that colour-blind readers tell apart, with a label wherever there is a colour.

const COLOURS = 6; // --c0 to --c5 in style.css
const colour = (i) => `var(--c${i % COLOURS})`;

// Round numbers that hold all values, about four steps apart.
function scale(values) {
  let low = Math.min(...values);
  let high = Math.max(...values);
  if (low === high) { low -= Math.abs(low) * 0.1 || 0.5; high += Math.abs(high) * 0.1 || 0.5; }
  const rough = (high - low) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
  const from = Math.floor(low / step + 1e-9) * step;
  const ticks = [];
  for (let i = 0; i === 0 || from + (i - 1) * step < high - step * 1e-9; i += 1) ticks.push(from + i * step);
  return { from, to: ticks[ticks.length - 1], ticks, digits: Math.max(0, -Math.floor(Math.log10(step) + 1e-9)) };
}

// A value with its interval between the ends of a scale; the numbers stand beside it as text.
function dot(value, low, high, range, color) {
  const place = (x) => `${(100 * (x - range.from)) / (range.to - range.from)}%`;
  const bar = h("span.bar", { "aria-hidden": "true" });
  bar.style.setProperty("color", color);
  if (low !== null && high !== null) {
    const line = h("span.range");
    line.style.left = place(low);
    line.style.width = `${(100 * (high - low)) / (range.to - range.from)}%`;
    bar.append(line);
  }
  if (value !== null) {
    const mark = h("span.dot");
    mark.style.left = place(value);
    bar.append(mark);
  }
  return bar;
}

const BOX = { width: 320, height: 176, right: 8, top: 8, bottom: 32 };
const LETTER = 5.6; // width of a tick's digit

// series: [{label, points: [[x, y, low, high], ...], place, aside}]; a band where there are intervals, a thin grey line for what
// stands aside. What is at one `place` of what is compared has one colour on all of a page, and in pictures too.
function curve(title, series, xLabel = "training step") {
  const shown = series.filter((one) => one.points.length);
  const every = shown.flatMap((one) => one.points);
  if (!every.length) return null;
  const y = scale(every.flatMap((point) => point.slice(1).filter((value) => value !== null && value !== undefined)));
  const x = scale(every.map((point) => point[0]));
  x.from = Math.min(...every.map((point) => point[0]));
  x.to = Math.max(...every.map((point) => point[0]), x.from + 1);
  const ticks = y.ticks.map((tick) => fixed(tick, y.digits));
  const left = 10 + LETTER * Math.max(...ticks.map((tick) => tick.length));
  const px = (v) => (left + ((v - x.from) / (x.to - x.from)) * (BOX.width - left - BOX.right)).toFixed(1);
  const py = (v) => (BOX.height - BOX.bottom - ((v - y.from) / (y.to - y.from)) * (BOX.height - BOX.top - BOX.bottom)).toFixed(1);
  const drawing = s("svg", { viewBox: `0 0 ${BOX.width} ${BOX.height}`, role: "img", "aria-label": described(title, shown) });
  y.ticks.forEach((tick, i) => {
    drawing.append(s("line", { class: "grid", x1: left, x2: BOX.width - BOX.right, y1: py(tick), y2: py(tick) }));
    drawing.append(s("text", { x: left - 5, y: py(tick), "text-anchor": "end", dy: "0.32em" }, ticks[i]));
  });
  for (const tick of x.ticks.filter((one) => one >= x.from && one <= x.to && Number.isInteger(one))) {
    drawing.append(s("text", { x: px(tick), y: BOX.height - BOX.bottom + 13, "text-anchor": "middle" }, tick.toLocaleString("en")));
  }
  drawing.append(s("text", { class: "axis", x: BOX.width - BOX.right, y: BOX.height - 5, "text-anchor": "end" }, xLabel));
  shown.forEach((one) => drawing.append(...line(one, inkOf(one), px, py)));
  const legend = shown.length > 1 && h("ul.legend", {}, shown.map((one) => h("li", {}, swatch(one), one.label)));
  return h("figure.curve", {}, h("figcaption", {}, title), drawing, legend);
}

function line({ points, aside }, color, px, py) {
  const banded = points.filter((point) => point[2] !== undefined && point[2] !== null);
  const parts = [];
  if (banded.length > 1 && !aside) {
    const edge = [...banded.map((p) => `${px(p[0])},${py(p[3])}`), ...banded.reverse().map((p) => `${px(p[0])},${py(p[2])}`)];
    parts.push(s("polygon", { points: edge.join(" "), fill: color, opacity: "0.15" }));
  }
  parts.push(s("polyline", { points: points.map((p) => `${px(p[0])},${py(p[1])}`).join(" "), fill: "none", stroke: color, "stroke-width": aside ? "1" : "1.4", "stroke-dasharray": aside && "4 3" }));
  if (points.length <= 30 && !aside) parts.push(...points.map((p) => s("circle", { cx: px(p[0]), cy: py(p[1]), r: "2.2", fill: color })));
  return parts;
}

const inkOf = (one) => (one.aside ? "var(--quiet)" : colour(one.place));

function swatch(one) {
  const node = h("span.swatch", { "aria-hidden": "true" });
  node.style.background = inkOf(one);
  return node;
}

function described(title, series) {
  const ends = series.map((one) => `${one.label}: from ${number(one.points[0][1])} to ${number(one.points[one.points.length - 1][1])}`);
  return `${title}. ${ends.join("; ")}`;
}

"use strict";
// The pages that are read: summary, benchmarks, training, rewards, figures, recipes. Each returns the nodes of its page.

function summaryPage(index) {
  return [
    h("h1", {}, "Summary"),
    h("p.quiet", {}, `${many(index.runs.length, "run")} · suder-bench ${index.version}`),
    index.runs.length > 0 && runsTable(index),
    [...index.tables].sort((a, b) => measured(b) - measured(a)).map((table) => tableSection(table)),
    index.left_out.length > 0 && details("Tables left out", false, h("ul", {}, index.left_out.map((why) => h("li", {}, why)))),
  ];
}

const measured = (table) => Number(table.recipes.length > 0); // these come first

function runsTable(index) {
  const head = ["Run", "Model", "Suite", "Seed", "Data"].map((title) => h("th", { scope: "col" }, title));
  const rows = index.runs.map((run, i) => h("tr", {},
    h("th", { scope: "row" }, h("a", { href: `#/recipes/${i}` }, run.label), run.trained && h("small", {}, run.trained)),
    h("td", {}, run.model), h("td", {}, run.suite), h("td.num", {}, run.seed === null ? "–" : String(run.seed)),
    h("td", {}, run.world ? worldBadge() : "real")));
  return h("section", {}, h("h2", {}, "Runs"), scrolling("Runs", h("table.runs", {}, h("thead", {}, h("tr", {}, head)), h("tbody", {}, rows))));
}

function cell(tag, [text, rank, marks], attributes = {}) {
  const shown = rank === "best" ? h("b", {}, text) : rank === "second" ? h("u", {}, text) : text;
  return h(tag, attributes, shown, marks && h("sup", {}, marks));
}

function tableSection(table) {
  const width = table.columns.length + 1;
  const head = h("tr", {}, h("th", { scope: "col" }, "Model"), table.columns.map((column) => cell("th.num", column, { scope: "col" })));
  const bodies = table.groups.map((group) => h("tbody", {},
    h("tr", {}, h("th.group", { scope: "rowgroup", colspan: width }, group.title)),
    group.lines.map((row) => h(row.detail ? "tr.detail" : "tr", {},
      row.cells.map((one, i) => (i ? cell("td.num", one) : cell("th", one, { scope: "row" }))))),
  ));
  const notes = [...table.signs.map(([sign, text]) => h("li", {}, sign === "=" ? h("sup", {}, sign) : sign, " ", text)), ...table.footnotes.map(([letter, text]) => h("li", {}, h("sup", {}, letter), " ", text)), ...table.notes.map((text) => h("li", {}, text))];
  const made = table.recipes.map(([label, texts]) => h("li", {}, label, h("ul", {}, texts.map((text) => h("li", {}, text)))));
  return h("section.results", { "data-table": table.name },
    h("h2", {}, table.title),
    scrolling(table.title, h("table", {}, h("thead", {}, head), bodies)),
    h("p.quiet", {}, h("b", {}, "Best"), " and ", h("u", {}, "second"), " of a column; a higher number is better in each."),
    notes.length > 0 && h("ul.notes", {}, notes),
    made.length > 0 && details("How the measured rows were made", false, h("ul.notes", {}, made)));
}

function benchmarksPage(index, name) {
  const chosen = index.benchmarks.find((one) => one.name === name) || index.benchmarks[0];
  if (!chosen) return [h("h1", {}, "Benchmarks"), h("p", {}, "No run has scored a benchmark.")];
  return [
    h("h1", {}, chosen.name),
    h("nav.tabs", { "aria-label": "Benchmarks" }, index.benchmarks.map((one) => h("a", {
      href: `#/benchmarks/${encodeURIComponent(one.name)}`, "aria-current": one === chosen && "page" }, one.name))),
    chosen.groups.length > 1 && h("p.quiet", {}, "Runs with other data, judges or protocols stand apart: their numbers do not compare."),
    chosen.groups.map((group) => groupSection(index, chosen.name, group)),
  ];
}

function groupSection(index, name, group) {
  const where = index.galleries.findIndex((one) => one.benchmark === name && one.runs.includes(group.counts[0][0]));
  const paper = group.metrics.filter((one) => group.paper.includes(one.name) || one.name === group.headline);
  const shown = paper.length ? paper : group.metrics;
  const rest = group.metrics.filter((one) => !shown.includes(one));
  const lost = group.counts.filter(([, , told]) => told);
  return h("section", {},
    h("p.conditions", {}, group.world ? worldBadge() : !group.comparable && h("span.badge", {}, "not comparable with published numbers"),
      ` protocol ${group.protocol}; ${many(group.samples, "sample")}; `,
      group.judges.length ? `judges ${group.judges.join(", ")}` : "no judge",
      where >= 0 && [" · ", h("a", { href: `#/gallery/${where}` }, "look at the responses")]),
    lost.map(([run, , told]) => h("p.warn", {}, `${index.runs[run].label}: ${told}`)),
    remarks(index, group.metrics.flatMap((metric) => metric.rows.map(([, , low, high, , few]) => ({ low, high, few_clusters: few })))),
    h("div.metrics", {}, shown.map((metric) => metricTable(index, metric, metric.name === group.headline))),
    rest.length > 0 && details(`${rest.length} more metrics`, false, h("div.metrics", {}, rest.map((metric) => metricTable(index, metric, false)))));
}

function metricTable(index, metric, headline) {
  const values = metric.rows.flatMap(([, value, low, high]) => [value, low, high]).filter((value) => value !== null);
  const range = values.length ? scale(values) : null;
  if (range && values.every((value) => value >= 0)) range.from = Math.max(0, range.from);
  if (range && values.every((value) => value <= 1)) range.to = Math.min(1, range.to);
  const rows = metric.rows.map(([run, value, low, high, n, few]) => h("tr", { title: `n = ${n.toLocaleString("en")}` },
    h("th", { scope: "row" }, index.runs[run].label),
    h("td", {}, range && dot(value, low, high, range, colour(run))),
    h("td.num", {}, number(value)), h("td.num.quiet", {}, interval(low, high, few))));
  const ends = range && h("tfoot", { "aria-hidden": "true" }, h("tr", {}, h("td"), h("td.ends", {}, h("span", {}, String(+range.from.toFixed(6))), h("span", {}, String(+range.to.toFixed(6)))), h("td", { colspan: 2 })));
  return h(headline ? "table.metric.headline" : "table.metric", {}, h("caption", {}, metric.name.replaceAll("_", " "), headline && h("small", {}, " headline")),
    h("colgroup", {}, ["name", "plot", "value", "ends"].map((name) => h(`col.${name}`))),
    h("thead.unseen", {}, h("tr", {}, ["Run", "Plot", "Value", "95 % interval"].map((title) => h("th", { scope: "col" }, title)))), h("tbody", {}, rows), ends);
}

async function trainingPage(index) {
  const runs = await Promise.all(index.trainings.map(async (one) => ({ label: one.label, ...(await load(one.file)) })));
  const found = new Map();
  for (const [place, run] of runs.entries()) {
    for (const score of run.scores) {
      const title = `${score.benchmark}: ${score.metric.replaceAll("_", " ")}`;
      if (!found.has(title)) found.set(title, { headline: score.headline, world: score.world, series: [] });
      const again = run.scores.some((other) => other !== score && other.benchmark === score.benchmark && other.metric === score.metric);
      found.get(title).series.push({ label: again ? `${run.label}, ${score.suite}` : run.label, points: score.points, place: again ? found.get(title).series.length : place });
    }
  }
  const charts = (headline) => [...found].filter(([, one]) => one.headline === headline).map(([title, one]) => curve(title, one.series));
  const names = [...new Set(runs.flatMap((run) => Object.keys(run.logged)))];
  const logged = (wanted) => names.filter(wanted).map((name) => curve(name, runs.map((run, place) => ({ label: run.label, points: run.logged[name] || [], place }))));
  const reward = (name) => /^(gen|und)\/reward\b(?!_)/.test(name);
  const others = logged((name) => !reward(name));
  return [
    h("h1", {}, "Training"),
    [...found.values()].some((one) => one.world) && h("p", {}, worldBadge(), " Scored on the embedded world, not comparable with published numbers."),
    h("h2", {}, "Evaluations"), h("p.quiet", {}, "Headline of each benchmark with its 95 % interval; step 0 is the model before training."),
    runs.some((run) => run.scores.some((score) => score.few_clusters)) && h("p.quiet", {}, `Some points are ${index.few_clusters}.`),
    h("div.curves", {}, charts(true)),
    details("The paper's other metrics", false, h("div.curves", {}, charts(false))),
    h("h2", {}, "Rewards"), h("div.curves", {}, logged(reward)),
    others.length > 0 && details(`Everything else that was logged (${others.length})`, false, h("div.curves", {}, others)),
  ];
}

async function rewardsPage(index) {
  const found = await Promise.all(index.rewards.map(async (one) => ({ ...one, ...(await load(one.file)) })));
  return [h("h1", {}, "Rewards"), found.map((one) => h("section", {},
    h("h2", {}, `${one.model} on ${one.benchmark || one.prompts}`), h("p.quiet", {}, one.world && [worldBadge(), " scored on the embedded world, not comparable with published numbers; "], `${one.label}, seed ${one.seed}`),
    ["pictures", "captions"].filter((part) => one[part]).map((part) => rewardTable(index, part, one[part])),
    one.figures.map((file) => h("figure.wide", {}, h("img", { src: file, loading: "lazy", alt: file.includes("disagree")
      ? "Prompts whose favourites have different verdicts, a column for each reward" : one.pictures.mean ? "Best-of-k curves and AUC of each reward" : "How the rewards rank the samples alike" })))))];
}

function rewardTable(index, part, entry) {
  const judged = [["best", `best of ${entry.samples}`], ["worst", `worst of ${entry.samples}`], ["auc", "AUC"], ["tau", "tau"]];
  const columns = [...(entry.mean ? judged : []), ["length", "length"]];
  const one = (metric) => h("td.num", {}, number(metric && metric.value), h("small", {}, metric ? interval(metric.low, metric.high, metric.few_clusters) : ""));
  const rows = Object.entries(entry.rewards).map(([name, row]) => h("tr", {}, h("th", { scope: "row" }, name), columns.map(([key]) => one(row[key])), h("td.num", {}, number(row.milliseconds))));
  const head = h("tr", {}, ["Reward", ...columns.map(([, title]) => title), "ms"].map((title, i) => h(i ? "th.num" : "th", { scope: "col" }, title)));
  const steps = (points) => points.map((point, i) => [i + 1, point.value, point.low, point.high]).filter((point) => point[1] !== null);
  const names = Object.keys(entry.rewards);
  const series = Object.entries(entry.curves).map(([label, points]) => ({ label, points: steps(points), place: names.indexOf(label), aside: !names.includes(label) }));
  return h("section", {}, h("h3", {}, part),
    h("p.quiet", {}, `${many(entry.prompts, "prompt")} × ${entry.samples} samples; ${entry.mean ? `mean verdict ${number(entry.mean.value)}, oracle ${number(entry.oracle.value)}` : "no verdicts"}; 95 % intervals resample prompts`),
    scrolling(part, h("table.rewards", {}, h("thead", {}, head), h("tbody", {}, rows))),
    remarks(index, Object.values(entry.rewards).flatMap((row) => columns.map(([key]) => row[key])).filter(Boolean)),
    h("div.curves", {}, curve("verdict of the best of k", series, "k samples")));
}

function figuresPage(index) {
  return [h("h1", {}, "Figures"), index.figures.map((one) => h("figure.wide", {},
    h("figcaption", {}, one.title), h("a", { href: one.file }, h("img", { src: one.file, loading: "lazy", alt: one.title }))))];
}

async function recipesPage(index, chosen) {
  const recipes = await Promise.all(index.runs.map((_, i) => load(`run-${i}`)));
  return [h("h1", {}, "Recipes"), h("p.quiet", {}, "What each run's run.json says of how its numbers were made."),
    index.runs.map((run, i) => {
      const node = details([run.label, " ", run.world && worldBadge()], String(i) === chosen || index.runs.length === 1,
        h("p.quiet", {}, run.path), h("pre", { tabindex: "0" }, JSON.stringify(recipes[i], null, 2)));
      if (String(i) === chosen) requestAnimationFrame(() => node.scrollIntoView());
      return node;
    })];
}

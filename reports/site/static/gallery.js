"use strict";
// The gallery: what each run made of the same sample and repeat. Items come in files of `chunk`; a page loads only those it
// shows, a filter reads them all, one block of files after the other.

const PER_PAGE = { one: 60, several: 24 };
const BLOCK = 8;
const DEFAULTS = { run: "", task: "", verdict: "", q: "", order: "", page: "0", item: "" };
const VERDICTS = { "": "any verdict", correct: "correct", wrong: "wrong", numbers: "numbers only", differ: "runs differ", none: "not judged" };
const ORDERS = { "": "benchmark's order", low: "lowest number first", high: "highest number first" };

class Gallery {
  constructor(index, place, query) {
    this.index = index;
    this.place = place;
    this.set = index.galleries[place];
    this.state = { ...DEFAULTS, ...Object.fromEntries(query) };
    if (!query.has("run") && this.set.runs.length > 4) this.state.run = "0";
    this.matches = null; // positions of the items that pass the filter; null while all do
    this.turn = 0; // a newer search ends an older one
    this.status = h("p.status", { role: "status", "aria-live": "polite" });
    this.list = h("ol.cards");
    this.pages = h("nav.pages", { "aria-label": "Pages" });
    this.dialog = h("dialog.item", { "aria-label": "One item", onclose: () => this.closed(), onclick: (event) => event.target === this.dialog && this.dialog.close() });
  }

  get nodes() {
    const { index, set } = this;
    return [
      h("h1", {}, set.benchmark, " ", set.world && worldBadge()),
      index.galleries.length > 1 && h("nav.tabs", { "aria-label": "Galleries" }, index.galleries.map((one, i) => h("a", {
        href: `#/gallery/${i}`, "aria-current": i === this.place && "page" }, this.title(one)))),
      set.note && h("p.warn", {}, `Without prompts: ${set.note}`),
      set.left_out > 0 && h("p.quiet", {}, `${many(set.count, "item")} of ${(set.count + set.left_out).toLocaleString("en")}, evenly spread over the benchmark`),
      this.controls(), this.status, this.list, this.pages, this.dialog,
    ];
  }

  title(set) {
    const same = this.index.galleries.filter((one) => one.benchmark === set.benchmark);
    return same.length > 1 ? `${set.benchmark} (${this.index.runs[set.runs[0]].label})` : set.benchmark;
  }

  controls() {
    const { set } = this;
    const runs = set.runs.map((run, i) => [String(i), this.index.runs[run].label]);
    const tasks = Object.entries(set.tasks).map(([task, count]) => [task, `${task} (${count.toLocaleString("en")})`]);
    this.search = h("input", { type: "search", value: this.state.q, placeholder: "prompt, answer or reason", "aria-label": "Search prompts, answers and reasons",
      oninput: () => { clearTimeout(this.typing); this.typing = setTimeout(() => this.change({ q: this.search.value }), 150); } });
    return h("form.controls", { role: "search", onsubmit: (event) => { event.preventDefault(); this.change({ q: this.search.value }); } },
      runs.length > 1 && this.select("run", "Runs", [["", "side by side"], ...runs]),
      tasks.length > 1 && this.select("task", "Task", [["", "all tasks"], ...tasks]),
      this.select("verdict", "Verdict", Object.entries(VERDICTS).filter(([key]) => key !== "differ" || runs.length > 1)),
      this.select("order", "Order", Object.entries(ORDERS)), h("label", {}, h("span", {}, "Search"), this.search));
  }

  select(key, label, options) {
    const node = h("select", { name: key, onchange: () => this.change({ [key]: node.value }) },
      options.map(([value, text]) => h("option", { value, selected: value === this.state[key] }, text)));
    return h("label", {}, h("span", {}, label), node);
  }

  get columns() {
    return this.state.run === "" ? this.set.runs.map((_, i) => i) : [Number(this.state.run)];
  }

  get perPage() {
    return this.columns.length > 1 ? PER_PAGE.several : PER_PAGE.one;
  }

  get count() {
    return this.matches ? this.matches.length : this.set.count;
  }

  position(i) {
    return this.matches ? this.matches[i] : i;
  }

  async item(position) {
    const chunk = await this.chunk(Math.floor(position / this.set.chunk));
    return chunk[position % this.set.chunk];
  }

  chunk(i) {
    return load(`gallery-${this.place}-${String(i).padStart(4, "0")}`);
  }

  // A filter or an order has changed: back to the first page.
  change(part) {
    this.state = { ...this.state, page: "0", item: "", ...part };
    this.remember();
    return this.filter();
  }

  remember() {
    const said = Object.entries(this.state).filter(([key, value]) => value !== DEFAULTS[key] || (key === "run" && this.set.runs.length > 4));
    history.replaceState(null, "", `#/gallery/${this.place}${said.length ? `?${new URLSearchParams(said)}` : ""}`);
  }

  async filter() {
    const turn = ++this.turn;
    const { task, verdict, q, order } = this.state;
    this.matches = null;
    if (task || verdict || q || order) {
      const found = [];
      const files = Math.ceil(this.set.count / this.set.chunk);
      this.list.setAttribute("aria-busy", "true");
      for (let start = 0; start < files; start += BLOCK) {
        const block = Array.from({ length: Math.min(BLOCK, files - start) }, (_, i) => start + i);
        const chunks = await Promise.all(block.map((i) => this.chunk(i)));
        if (turn !== this.turn) return;
        chunks.forEach((chunk, i) => chunk.forEach((item, j) => this.passes(item) && found.push([(start + i) * this.set.chunk + j, this.value(item)])));
      }
      if (order) found.sort(([, a], [, b]) => (a === null) - (b === null) || (order === "low" ? a - b : b - a));
      this.matches = found.map(([position]) => position);
    }
    await this.show(turn);
  }

  passes(item) {
    const { task, verdict, q } = this.state;
    if (task && item.task !== task) return false;
    const answers = this.columns.map((i) => item.answers[i]).filter(Boolean);
    if (verdict && !judgedAs(verdict, verdict === "differ" ? item.answers.filter(Boolean) : answers)) return false;
    if (!q) return true;
    const wanted = q.toLowerCase();
    const texts = [item.prompt, item.sample, ...answers.flatMap((one) => [one.reason, one.text])];
    return texts.some((text) => text && text.toLowerCase().includes(wanted));
  }

  // The number to sort by: the first score of the first run that has one.
  value(item) {
    const numbers = this.columns.flatMap((i) => (item.answers[i] && item.answers[i].scores ? Object.values(item.answers[i].scores) : []));
    const found = numbers.find((one) => one !== null);
    return found === undefined ? null : found;
  }

  async show(turn = ++this.turn) {
    const last = Math.max(0, Math.ceil(this.count / this.perPage) - 1);
    const page = Math.min(Math.max(0, Number(this.state.page) || 0), last);
    this.state.page = String(page);
    const from = page * this.perPage;
    const shown = Array.from({ length: Math.min(this.perPage, this.count - from) }, (_, i) => from + i);
    const items = await Promise.all(shown.map((i) => this.item(this.position(i))));
    if (turn !== this.turn) return;
    this.list.removeAttribute("aria-busy");
    this.list.style.setProperty("--runs", Math.min(4, Math.max(2, this.columns.length)));
    this.list.className = this.columns.length > 1 ? "cards several" : "cards";
    this.list.replaceChildren(...items.map((item, i) => this.card(item, shown[i])));
    const range = this.count ? `${(from + 1).toLocaleString("en")} to ${(from + shown.length).toLocaleString("en")} of ` : "";
    this.status.textContent = `${range}${many(this.count, "item")}${this.count ? "" : "; choose another filter"}`;
    this.pages.replaceChildren(...this.pageButtons(page, last));
    if (this.state.item !== "" && !this.dialog.open) this.open(Number(this.state.item));
  }

  pageButtons(page, last) {
    if (!last) return [];
    const go = (text, label, to) => h("button", { type: "button", "aria-label": label, disabled: to < 0 || to > last || to === page, onclick: () => this.go(to) }, text);
    return [go("«", "First page", 0), go("‹ previous", "Previous page", page - 1), h("span", {}, `page ${page + 1} of ${(last + 1).toLocaleString("en")}`),
      go("next ›", "Next page", page + 1), go("»", "Last page", last)];
  }

  async go(page) {
    this.state.page = String(page);
    await this.show();
    this.remember();
    this.cards[0]?.focus();
    scrollTo(0, 0);
  }

  get cards() {
    return [...this.list.querySelectorAll("a.card")];
  }

  card(item, i) {
    const runs = this.columns.map((column) => item.answers[column]);
    const marks = runs.map((answer) => verdictOf(answer).text).join(", ");
    const body = h("a.card", { href: `#/gallery/${this.place}?item=${i}`, "data-i": i, "aria-label": `${item.prompt || item.sample}: ${marks}`,
      onclick: (event) => { if (!event.ctrlKey && !event.metaKey) { event.preventDefault(); this.open(i); } } },
    h("p.prompt", {}, item.prompt || item.sample), this.asked(item), h("div.answers", {}, this.columns.map((column) => this.answer(item, column, false))));
    return h("li", {}, body);
  }

  asked(item) {
    return item.pictures.length > 0 && h("div.asked", {}, item.pictures.map((src, k) => picture(src, `Picture ${k + 1} of the question`)));
  }

  answer(item, column, whole) {
    const run = this.index.runs[this.set.runs[column]].label;
    const answer = item.answers[column];
    const verdict = verdictOf(answer);
    const named = (whole || this.columns.length > 1) && h("span.run", { title: run }, run);
    if (!answer) return h("figure.answer", {}, named, h("p.none", {}, "no response"));
    return h("figure.answer", {}, named,
      answer.image !== undefined ? picture(answer.image, `Drawn by ${run}: ${item.prompt || item.sample}`) : h("p.said", {}, answer.text),
      h("figcaption", {}, h(`span.verdict.${verdict.kind}`, {}, verdict.text), answer.reason && h("span.reason", {}, answer.reason),
        whole && h("span.quiet", {}, `seed ${answer.seed}`)));
  }

  async open(i) {
    if (i < 0 || i >= this.count) return;
    this.state.item = String(i);
    const item = await this.item(this.position(i));
    if (this.state.item !== String(i)) return; // another was asked for meanwhile, or it was closed
    this.state.page = String(Math.floor(i / this.perPage));
    const seeds = new Set(item.answers.filter(Boolean).map((answer) => answer.seed));
    const step = (text, label, to) => h("button", { type: "button", "aria-label": label, disabled: to < 0 || to >= this.count, onclick: () => this.open(to) }, text);
    this.dialog.replaceChildren();
    fill(this.dialog, {}, [
      h("header", {}, step("←", "Previous item", i - 1), step("→", "Next item", i + 1),
        h("span.quiet", {}, [`${(i + 1).toLocaleString("en")} of ${this.count.toLocaleString("en")}`, item.task, item.sample, `repeat ${item.repeat}`].filter(Boolean).join(" · ")),
        h("button", { type: "button", "aria-label": "Close", onclick: () => this.dialog.close() }, "×")),
      h("p.prompt", {}, item.prompt || item.sample),
      seeds.size > 1 && h("p.warn", {}, "These responses were made with different seeds."),
      h("div.body", {}, this.asked(item),
        h("div.answers", {}, this.set.runs.map((_, column) => h("div", {}, this.answer(item, column, true), scoresOf(item.answers[column])))))]);
    if (!this.dialog.open) this.dialog.showModal();
    this.dialog.scrollTop = 0;
    this.remember();
  }

  // The item that was open last has the focus, on its page.
  async closed() {
    const i = this.state.item;
    this.state.item = "";
    this.remember();
    const card = () => this.list.querySelector(`a[data-i="${i}"]`);
    if (!card()) await this.show();
    card()?.focus();
  }

  key(event) {
    const move = { ArrowRight: 1, j: 1, ArrowLeft: -1, k: -1 }[event.key];
    if (this.dialog.open) {
      if (move) this.open(Number(this.state.item) + move);
      return Boolean(move);
    }
    if (event.key === "/") { this.search.focus(); return true; }
    const last = Math.ceil(this.count / this.perPage) - 1;
    const page = { PageDown: Number(this.state.page) + 1, PageUp: Number(this.state.page) - 1, Home: 0, End: last }[event.key];
    if (page !== undefined) {
      if (page >= 0 && page <= last && page !== Number(this.state.page)) this.go(page);
      return true;
    }
    const { cards } = this;
    const at = cards.indexOf(document.activeElement);
    const rows = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!move && (!rows || at < 0)) return false;
    const to = at < 0 ? 0 : move ? at + move : below(cards, at, rows);
    if (to >= 0 && to < cards.length) cards[to].focus();
    else if (move && to >= cards.length && Number(this.state.page) < last) this.go(Number(this.state.page) + 1);
    return true;
  }
}

// The card one row further in the same column.
function below(cards, at, rows) {
  const left = cards[at].getBoundingClientRect().left;
  for (let i = at + rows; i >= 0 && i < cards.length; i += rows) {
    if (Math.abs(cards[i].getBoundingClientRect().left - left) < 2) return i;
  }
  return at;
}

function picture(src, alt) {
  const img = h("img", { src, alt, loading: "lazy", decoding: "async", onload: () => img.classList.toggle("tiny", img.naturalWidth <= 96) });
  return img;
}

function verdictOf(answer) {
  if (!answer) return { kind: "none", text: "no response" };
  if (answer.reason === undefined) return { kind: "none", text: "not judged" };
  if (answer.correct !== null) return answer.correct ? { kind: "correct", text: "✓ correct" } : { kind: "wrong", text: "✗ wrong" };
  return { kind: "numbers", text: Object.entries(answer.scores).slice(0, 2).map(([name, value]) => `${name} ${short(value)}`).join(" · ") };
}

function judgedAs(verdict, answers) {
  const judged = answers.filter((one) => one.reason !== undefined);
  if (verdict === "none") return judged.length < answers.length;
  if (verdict === "differ") return new Set(judged.map((one) => JSON.stringify([one.correct, one.correct === null && one.scores]))).size > 1;
  return judged.some((one) => (verdict === "numbers" ? one.correct === null : one.correct === (verdict === "correct")));
}

function scoresOf(answer) {
  const scores = answer && answer.scores ? Object.entries(answer.scores) : [];
  return scores.length > 0 && h("dl.scores", {}, scores.map(([name, value]) => [h("dt", {}, name), h("dd", {}, short(value))]));
}

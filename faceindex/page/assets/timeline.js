// When photos were taken: the years with their counts, and the months of one of them.

const MOST_YEARS = 40; // shown one by one; more are shown in tens
const monthName = lazily(() => new Intl.DateTimeFormat("en", { month: "short", timeZone: "UTC" }));
const longMonth = lazily(() => new Intl.DateTimeFormat("en", { month: "long", year: "numeric", timeZone: "UTC" }));

/** Counts of faces by month: [{year, month (0..11), count}], the oldest first, and how many have no date. */
function countMonths(album, positions) {
  const counts = new Map();
  const ofDay = new Map(); // a date is costly, and many photos share a day
  let undated = 0;
  for (const at of positions) {
    const taken = album.takenOf(at);
    if (!Number.isFinite(taken)) {
      undated++;
      continue;
    }
    const day = Math.floor(taken / 86400);
    let month = ofDay.get(day);
    if (month === undefined) {
      const moment = momentOf(taken);
      month = moment.getUTCFullYear() * 12 + moment.getUTCMonth();
      ofDay.set(day, month);
    }
    counts.set(month, (counts.get(month) ?? 0) + 1);
  }
  const months = [...counts].sort((a, b) => a[0] - b[0]).map(([month, count]) => ({ year: Math.floor(month / 12), month: month % 12, count }));
  return { months, undated };
}

class Timeline {
  /** @param onJump ({year, month}) or (null) for the faces without a date; `month` may be missing */
  constructor(onJump) {
    this.onJump = onJump;
    this.open = null; // the year whose months are shown
    this.years = make("div", { className: "years" });
    this.months = make("div", { className: "months", role: "group" });
    this.root = make("nav", { className: "timeline", "aria-label": WORDS.timeline.label, hidden: true }, this.years, this.months);
    this.root.addEventListener("keydown", (event) => this.onKey(event));
  }

  /** Show the photos of faces; `open` stays if it is still there. */
  show(album, positions) {
    const { months, undated } = countMonths(album, positions);
    const byYear = new Map();
    for (const { year, count } of months) byYear.set(year, (byYear.get(year) ?? 0) + count);
    this.step = byYear.size > MOST_YEARS ? 10 : 1;
    const spans = new Map();
    for (const [year, count] of byYear) {
      const start = Math.floor(year / this.step) * this.step;
      spans.set(start, (spans.get(start) ?? 0) + count);
    }
    this.root.hidden = months.length < 2;
    if (this.root.hidden) return;
    if (!spans.has(this.open)) this.open = null;
    const most = Math.max(...spans.values());
    const bars = [...spans].map(([year, count]) => this.bar(this.spanText(year), count, most, WORDS.timeline.year(this.spanText(year), count), () => this.jumpYear(year), year));
    if (undated) bars.push(this.bar(WORDS.timeline.undated, undated, most, WORDS.timeline.undatedLabel(undated), () => this.onJump(null), "none"));
    this.fill(this.years, bars);
    this.byMonth = months;
    this.drawMonths();
  }

  spanText(year) { return this.step === 1 ? String(year) : `${year}s`; }

  jumpYear(year) {
    const same = this.open === year;
    this.open = same || this.step > 1 ? null : year;
    this.drawMonths();
    for (const node of this.years.children) node.setAttribute("aria-expanded", String(node.dataset.value === String(this.open)));
    if (!same) this.onJump({ year });
  }

  drawMonths() {
    const shown = this.open === null ? [] : this.byMonth.filter((entry) => entry.year === this.open);
    const most = Math.max(...shown.map((entry) => entry.count));
    this.months.hidden = !shown.length;
    this.months.setAttribute("aria-label", WORDS.timeline.months(this.open ?? ""));
    this.fill(this.months, shown.map(({ year, month, count }) => {
      const moment = Date.UTC(year, month, 15);
      return this.bar(monthName().format(moment), count, most, WORDS.timeline.month(longMonth().format(moment), count), () => this.onJump({ year, month }), month);
    }));
  }

  bar(text, count, most, label, onClick, value) {
    const node = button(text, onClick, { className: "time", "aria-label": label, title: label, dataset: { value } });
    node.style.setProperty("--bar", `${Math.max(3, Math.min(26, Math.round((count / most) * 26)))}px`);
    if (value !== "none" && typeof value === "number" && value > 11) node.setAttribute("aria-expanded", String(value === this.open));
    return node;
  }

  /** Replace buttons, and keep the focus on the one with the same value. */
  fill(list, nodes) {
    const focused = list.contains(document.activeElement) ? document.activeElement.dataset.value : null;
    list.replaceChildren(...nodes);
    nodes.forEach((node, i) => { node.tabIndex = i ? -1 : 0; });
    const again = focused === null ? null : nodes.find((node) => node.dataset.value === focused);
    if (!again) return;
    nodes[0].tabIndex = -1;
    again.tabIndex = 0;
    again.focus({ preventScroll: true });
  }

  onKey(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const list = event.target.closest(".years, .months");
    if (!step || !list) return;
    event.preventDefault();
    event.stopPropagation();
    const next = step < 0 ? event.target.previousElementSibling : event.target.nextElementSibling;
    if (!next) return;
    event.target.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }
}

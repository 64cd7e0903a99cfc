// Requests and their latency, as they come.

import { h } from "./dom.js";
import { rate } from "./amounts.js";

const SECONDS_SHOWN = 120;

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function axis(size) {
  return { stroke: () => colour("--soft"), grid: { stroke: () => colour("--line"), width: 1 }, ticks: { show: false }, size, font: "12px system-ui" };
}

function series(label, name, dash) {
  return { label, stroke: () => colour(name), width: 2, dash, points: { show: false }, spanGaps: false };
}

class Traffic extends HTMLElement {
  #plots = [];

  connectedCallback() {
    this.replaceChildren(h("div", { class: "loading", "aria-label": "Loading" }));
    addEventListener("jedlik-news", (event) => this.show(event.detail));
    addEventListener("resize", () => this.fit());
  }

  show({ traffic }) {
    if (this.#plots.length === 0) this.build();
    const last = traffic.at(-1);
    this.figures.replaceChildren(
      this.figure("Gets", last.gets === undefined ? "–" : rate(last.gets), "/ s"),
      this.figure("Puts", last.puts === undefined ? "–" : rate(last.puts), "/ s"),
      this.figure("99th percentile", last.p99_ms > 0 ? last.p99_ms.toFixed(1) : "–", "ms, of the slowest member"));
    const shown = traffic.filter((one) => one.at_s > last.at_s - SECONDS_SHOWN);
    const column = (name) => shown.map((one) => one[name] ?? null);
    this.#plots[0].setData([column("at_s"), column("gets"), column("puts")]);
    this.#plots[1].setData([column("at_s"), column("p99_ms")]);
  }

  figure(title, value, unit) {
    return h("div", {}, h("dt", {}, title), h("dd", {}, value, " ", h("small", {}, unit)));
  }

  build() {
    this.figures = h("dl", { class: "figures" });
    const places = [h("figure", { class: "plot" }), h("figure", { class: "plot" })];
    places.forEach((place) => { place.style.margin = 0; place.style.minWidth = 0; });
    this.replaceChildren(this.figures, h("div", { class: "plots" }, places));
    const common = { height: 190, cursor: { drag: { x: false, y: false } }, legend: { live: false }, scales: { x: { range: (_, __, last) => [(last ?? 0) - SECONDS_SHOWN, last ?? 0] }, y: { range: (_, __, most) => [0, Math.max(1, (most ?? 0) * 1.15)] } } };
    this.#plots = [
      new uPlot({ ...common, title: "", width: 300, series: [{}, series("gets a second", "--well"), series("puts a second", "--moves", [6, 4])], axes: [axis(36), axis(54)] }, [[], [], []], places[0]),
      new uPlot({ ...common, title: "", width: 300, series: [{}, series("99th percentile, ms", "--well")], axes: [axis(36), axis(54)] }, [[], []], places[1]),
    ];
    this.fit();
  }

  fit() {
    for (const plot of this.#plots) {
      const width = plot.root.parentElement.clientWidth;
      if (width > 0) plot.setSize({ width, height: 190 });
    }
  }
}

customElements.define("jedlik-traffic", Traffic);

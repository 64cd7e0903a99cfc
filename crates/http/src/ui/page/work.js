// What goes on of itself: partitions that move, hints that wait, comparisons.

import { View, command, h, mark } from "./dom.js";
import { bytes, count, plural, span } from "./amounts.js";
import { nameOf } from "./news.js";

class Work extends View {
  draw({ news }) {
    return [...this.moves(news), ...this.hints(news), ...this.repairs(news)];
  }

  moves(news) {
    const { cluster, members } = news;
    const told = members.filter((one) => one.transfers);
    const sum = (name) => told.reduce((total, one) => total + one.transfers[name], 0);
    const [ready, owned] = [cluster.members.reduce((total, one) => total + one.ready, 0), cluster.members.reduce((total, one) => total + one.owned, 0)];
    const blockers = [...new Set(told.flatMap((one) => one.transfers.blockers))];
    const paused = told.some((one) => one.transfers.paused);
    if (cluster.partitions === 0 || (cluster.flipped >= cluster.partitions && ready >= owned)) {
      return [h("h3", {}, "Partitions"), h("p", { class: "soft" }, cluster.partitions === 0 ? "Nothing can move before there is a layout." : "All are where the layout has them."), ...staged(cluster)];
    }
    const bar = h("progress", { max: Math.max(1, owned), value: ready, "aria-label": "Copies that are ready" });
    return [
      h("h3", {}, "Partitions ", mark("moves", paused ? "paused" : "on the move")),
      bar,
      h("p", { class: "small", "data-progress": `${ready}/${owned}` }, `${count(ready)} of ${count(owned)} copies are ready; ${count(cluster.flipped)} of ${count(cluster.partitions)} partitions are settled; ${bytes(sum("received_bytes"))} received.`),
      blockers.map((why) => h("p", { class: "small" }, mark("wrong", "held up"), ` ${why}`)),
      command(paused ? "jedlik-admin background resume" : "jedlik-admin transfers --watch"),
      ...staged(cluster),
    ];
  }

  hints(news) {
    const rows = news.members.flatMap((holder) => (holder.hints ?? []).filter((one) => one.keys > 0).map((one) => ({ holder, ...one })));
    if (rows.length === 0) return [h("h3", {}, "Hints"), h("p", { class: "soft" }, "None waits: every member has what was put for it.")];
    const table = h("table", {},
      h("thead", {}, h("tr", {}, ["At", "For", "Keys", "Size", "Oldest", ""].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, rows.map((row) => h("tr", {},
        h("td", {}, row.holder.name), h("td", {}, nameOf(news, row.target)), h("td", {}, count(row.keys)), h("td", {}, bytes(row.bytes)),
        h("td", {}, row.oldest_ms === null ? "–" : span((news.at_ms - row.oldest_ms) / 1000)),
        h("td", {}, row.delivering ? mark("moves", row.left_s === null ? "being delivered" : `${span(row.left_s)} left`) : mark("", "waits"))))));
    return [h("h3", {}, "Hints"), h("div", { class: "scroll" }, table), command("jedlik-admin hints --wait")];
  }

  repairs(news) {
    const told = news.members.filter((one) => one.repair);
    if (told.length === 0) return [];
    const rows = told.map((one) => {
      const { done, partitions, pulled, pushed, failed } = one.repair;
      const bar = h("progress", { max: Math.max(1, partitions), value: done, "aria-label": `Comparisons of ${one.name}` });
      return h("tr", {}, h("td", {}, one.name), h("td", {}, bar), h("td", { class: "number" }, `${count(done)} / ${count(partitions)}`),
        h("td", { class: "number" }, count(pulled + pushed)), h("td", { class: "number" }, count(failed)));
    });
    const head = [["Member"], ["This round"], ["Partitions", "number"], ["Records repaired", "number"], ["Failed", "number"]];
    return [h("h3", {}, "Comparisons with the other owners"), h("div", { class: "scroll" }, h("table", {},
      h("thead", {}, h("tr", {}, head.map(([name, kind]) => h("th", { class: kind, scope: "col" }, name)))), h("tbody", {}, rows))), command("jedlik-admin repair")];
  }
}

function staged(cluster) {
  if (cluster.staged.length === 0) return [];
  return [h("p", { class: "small" }, `${plural(cluster.staged.length, "change")} to the layout wait to be committed.`), command("jedlik-admin cluster plan")];
}

customElements.define("jedlik-work", Work);

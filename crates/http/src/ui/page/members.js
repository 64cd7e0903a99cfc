// The members: their states, who hears them, and their shares.

import { View, command, h, mark } from "./dom.js";
import { bytes, count, plural, rate } from "./amounts.js";
import { choose } from "./news.js";

const STATES = { up: "well", joining: "moves", leaving: "moves", away: "moves", left: "", removed: "" };

class Members extends View {
  #before = new Map();

  draw({ news, layouts, chosen }) {
    const { members } = news.cluster;
    const here = members.filter((one) => one.state !== "left" && one.state !== "removed").sort((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }));
    const weights = here.reduce((sum, one) => sum + (one.owned > 0 ? one.weight : 0), 0);
    const copies = here.reduce((sum, one) => sum + one.owned, 0);
    const heard = new Map(news.members.map((one) => [one.node, one]));
    const rows = here.map((one) => this.row(one, { news, heard, weights, copies, chosen, at_ms: news.at_ms }));
    const head = ["Member", "State", "Heard by", "Share", "Holds", "Requests / s", "Address"];
    const numbers = new Set(["Holds", "Requests / s"]);
    const joining = here.some((one) => one.state === "joining");
    return [
      h("div", { class: "scroll" }, h("table", {},
        h("thead", {}, h("tr", {}, head.map((name) => h("th", { class: numbers.has(name) && "number", scope: "col" }, name)))),
        h("tbody", {}, rows))),
      here.length > 0 && h("p", { class: "small soft" }, "Share: the bar is what a member owns of all copies, the line is what its weight gives it."),
      joining && h("div", { class: "small" }, "A member waits for its place in the layout.", command("jedlik-admin cluster plan")),
    ];
  }

  row(one, { news, heard, weights, copies, chosen, at_ms }) {
    const told = heard.get(one.node);
    const word = one.alive ? (told?.drained ? "drained" : one.state) : "no answer";
    const kind = one.alive ? STATES[one.state] ?? "" : "wrong";
    const refilling = one.refilling > 0 && h("div", { class: "small soft" }, `refilling ${plural(one.refilling, "partition")}`);
    return h("tr", { class: chosen === one.node && "chosen", "data-member": one.name },
      h("td", {}, h("button", { class: "member", type: "button", "data-focus": one.node, "aria-pressed": chosen === one.node ? "true" : "false", onclick: () => choose(one.node), title: "Show its partitions on the ring" }, one.name),
        h("div", { class: "small soft" }, one.zone)),
      h("td", {}, mark(kind, word), refilling),
      h("td", {}, this.seen(one, news)),
      h("td", {}, this.share(one, weights, copies)),
      h("td", { class: "number" }, bytes(one.bytes), h("div", { class: "small soft" }, plural(one.records, "record"))),
      h("td", { class: "number" }, this.requests(one.node, told, at_ms)),
      h("td", { class: "small soft" }, one.address));
  }

  seen(one, news) {
    const others = news.members.filter((other) => other.node !== one.node);
    const dots = others.map((other) => {
      const sees = other.sees?.[one.node];
      const kind = sees === undefined ? "unknown" : sees ? "" : "wrong";
      const word = sees === undefined ? "does not say" : sees ? "hears it" : "does not hear it";
      return h("i", { class: `dot ${kind}`, title: `${other.name} ${word}` });
    });
    const yes = others.filter((other) => other.sees?.[one.node]).length;
    return h("span", { class: "dots", role: "img", "aria-label": `${yes} of ${others.length} others hear it` }, dots);
  }

  share(one, weights, copies) {
    if (!weights || !copies) return h("span", { class: "soft" }, "none");
    const [owned, fair] = [one.owned / copies, one.owned > 0 ? one.weight / weights : 0];
    const scale = Math.min(1, 1 / (2 * Math.max(owned, fair, 0.01)));
    const bar = h("i");
    bar.style.width = `${Math.min(100, 200 * owned * scale)}%`;
    const line = h("b");
    line.style.left = `${Math.min(100, 200 * fair * scale)}%`;
    const percent = (part) => `${(100 * part).toFixed(0)} %`;
    return h("div", { class: "share", role: "img", "aria-label": `owns ${percent(owned)}, its weight gives it ${percent(fair)}`, title: `owns ${percent(owned)}; weight ${one.weight} gives ${percent(fair)}` }, bar, line);
  }

  requests(node, told, at_ms) {
    if (!told?.stats) return "–";
    const { gets = 0, puts = 0 } = told.stats.counters;
    const now = { at_ms, all: gets + puts };
    const kept = this.#before.get(node);
    // The element may be drawn again without news.
    if (!kept || kept.now.at_ms !== at_ms) this.#before.set(node, { before: kept?.now, now });
    const { before } = this.#before.get(node);
    if (!before || now.all < before.all || at_ms <= before.at_ms) return "–";
    return rate((1000 * (now.all - before.all)) / (at_ms - before.at_ms));
  }
}

customElements.define("jedlik-members", Members);

// Buckets whose properties were set.

import { View, command, h } from "./dom.js";
import { named } from "./amounts.js";

const SHOWN = ["n", "r", "w", "durability", "reconcile", "ttl_ms"];

class Buckets extends View {
  draw({ news }) {
    const rows = news.buckets.map((one) => h("tr", {}, h("td", {}, named(one.bucket)),
      SHOWN.map((name) => h("td", { class: typeof one.properties[name] === "number" && "number" }, one.properties[name] === null ? "none" : String(one.properties[name] ?? "–")))));
    if (rows.length === 0) {
      return [h("p", { class: "empty" }, "No bucket has properties of its own: each has the defaults."), command("jedlik-admin bucket set carts w=3")];
    }
    return [h("div", { class: "scroll" }, h("table", {},
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Bucket"), SHOWN.map((name) => h("th", { scope: "col" }, name)))), h("tbody", {}, rows))),
      command("jedlik-admin bucket list")];
  }
}

customElements.define("jedlik-buckets", Buckets);

// The ring: partitions outside, members inside, grouped by zone.

import { View, command, h, s } from "./dom.js";
import { choose, member } from "./news.js";

const [SIZE, OUTER, INNER, NODES, ZONES] = [360, 166, 138, 92, 116];
const MIDDLE = SIZE / 2;

function at(radius, turn) {
  const angle = 2 * Math.PI * turn - Math.PI / 2;
  return [MIDDLE + radius * Math.cos(angle), MIDDLE + radius * Math.sin(angle)];
}

function point(radius, turn) {
  return at(radius, turn).map((value) => value.toFixed(2)).join(" ");
}

function segment(from, to) {
  return `M ${point(OUTER, from)} A ${OUTER} ${OUTER} 0 0 1 ${point(OUTER, to)} L ${point(INNER, to)} A ${INNER} ${INNER} 0 0 0 ${point(INNER, from)} Z`;
}

function arc(radius, from, to) {
  const large = to - from > 0.5 ? 1 : 0;
  return `M ${point(radius, from)} A ${radius} ${radius} 0 ${large} 1 ${point(radius, to)}`;
}

class Ring extends View {
  draw({ news, layouts, chosen }) {
    const layout = layouts[0];
    if (!layout || layout.partitions === 0) {
      return [
        h("p", { class: "empty" }, "There is no layout yet, so no member owns anything."),
        command("jedlik-admin cluster plan"),
      ];
    }
    const gone = new Set(news.cluster.members.filter((one) => !one.alive).map((one) => one.node));
    return [this.picture(news, layout, layouts.length > 1, gone, chosen), this.legend(chosen), chosen && this.about(news, chosen)];
  }

  picture(news, layout, moving, gone, chosen) {
    const { partitions, owners } = layout;
    const flipped = new Set(layout.flipped);
    const places = this.places(layout);
    const order = new Map(places.map(({ node }, index) => [node, index]));
    const parts = owners.map((list, partition) => {
      const classes = ["part"];
      if (order.get(list[0]) % 2 === 1) classes.push("odd");
      if (moving && !flipped.has(partition)) classes.push("moves");
      else if (chosen && list.includes(chosen)) classes.push("chosen");
      if (list.some((node) => gone.has(node))) classes.push("wrong");
      const names = list.map((node) => member(news, node)?.name ?? node.slice(0, 8)).join(", ");
      return s("path", { class: classes.join(" "), d: segment(partition / partitions, (partition + 1) / partitions) },
        s("title", {}, `partition ${partition}: ${names}`));
    });
    const settled = flipped.size;
    const label = `Ring of ${partitions} partitions on ${places.length} members; ${gone.size} members do not answer; ${settled} partitions are settled.`;
    return s("svg", { viewBox: `0 0 ${SIZE} ${SIZE}`, role: "img", "aria-label": label },
      s("g", {}, parts), this.zones(places), places.map((place) => this.node(news, place, gone, chosen)),
      s("text", { class: "middle", x: MIDDLE, y: MIDDLE - 2 }, `${places.length} members`),
      s("text", { class: "middle soft", x: MIDDLE, y: MIDDLE + 13 }, settled < partitions ? `${settled} of ${partitions} settled` : `${partitions} partitions`));
  }

  places(layout) {
    const nodes = [...layout.nodes].sort((a, b) => a.zone.localeCompare(b.zone) || a.node.localeCompare(b.node));
    return nodes.map((node, index) => ({ ...node, turn: (index + 0.5) / nodes.length, width: 1 / nodes.length }));
  }

  zones(places) {
    const groups = Map.groupBy(places, (place) => place.zone);
    if (groups.size < 2 || groups.size > 24) return [];
    return [...groups].map(([zone, members]) => {
      const [from, to] = [members[0].turn - 0.4 * members[0].width, members.at(-1).turn + 0.4 * members[0].width];
      const [x, y] = at(ZONES + 9, (from + to) / 2);
      return s("g", {}, s("path", { class: "zone", d: arc(ZONES, from, to) }), s("text", { class: "zone-name", x, y: y + 3 }, zone.slice(0, 12)));
    });
  }

  node(news, place, gone, chosen) {
    const [x, y] = at(NODES, place.turn);
    const known = member(news, place.node);
    const classes = ["node"];
    if (gone.has(place.node)) classes.push("wrong");
    else if (known && known.ready < known.owned) classes.push("moves");
    if (chosen === place.node) classes.push("chosen");
    const name = known?.name ?? place.node.slice(0, 8);
    const what = gone.has(place.node) ? "does not answer" : known?.state ?? "unknown";
    return s("g", { class: classes.join(" "), "data-node": place.node, onclick: () => choose(place.node) },
      s("title", {}, `${name}: ${what}, zone ${place.zone}, weight ${place.weight}`),
      s("circle", { cx: x, cy: y, r: 8 }),
      gone.has(place.node) && s("path", { class: "cross", d: `M ${x - 3.5} ${y - 3.5} l 7 7 M ${x + 3.5} ${y - 3.5} l -7 7` }),
      s("text", { x, y: y + 20 }, name));
  }

  legend(chosen) {
    return h("div", { class: "legend" },
      h("span", {}, h("i"), "a partition"), chosen && h("span", {}, h("i", { class: "chosen" }), "owned by the chosen member"),
      h("span", {}, h("i", { class: "moves" }), "on the move"), h("span", {}, h("i", { class: "wrong" }), "an owner does not answer"));
  }

  about(news, chosen) {
    const name = member(news, chosen)?.name ?? chosen;
    return h("p", { class: "small" }, `${name} owns the partitions in blue. `, command(`jedlik-admin cluster ring --json`));
  }
}

customElements.define("jedlik-ring", Ring);

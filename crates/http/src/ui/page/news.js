// News from the node, by server-sent events, and what is remembered of them.

const STALE_MS = 5_000;
const KEPT = 300;

export const state = { news: undefined, layouts: [], chosen: undefined, cut: false, traffic: [] };

let heard = performance.now();

function tell() {
  if (state.news) dispatchEvent(new CustomEvent("jedlik-news", { detail: state }));
}

/** Chooses a member to be shown on the ring, or none if it was chosen before. */
export function choose(node) {
  state.chosen = state.chosen === node ? undefined : node;
  tell();
}

function counters(news) {
  const sums = { gets: 0, puts: 0, p99_us: 0 };
  for (const member of news.members) {
    sums.gets += member.stats?.counters.gets ?? 0;
    sums.puts += member.stats?.counters.puts ?? 0;
    sums.p99_us = Math.max(sums.p99_us, member.background?.foreground_p99_us ?? 0);
  }
  return sums;
}

function remember(news) {
  const now = { at_ms: news.at_ms, ...counters(news) };
  const before = state.traffic.at(-1)?.raw;
  const seconds = before ? (now.at_ms - before.at_ms) / 1000 : 0;
  // A counter that falls belongs to a member that has started again.
  const per = (name) => (seconds > 0 && now[name] >= before[name] ? (now[name] - before[name]) / seconds : undefined);
  state.traffic.push({ raw: now, at_s: now.at_ms / 1000, gets: per("gets"), puts: per("puts"), p99_ms: now.p99_us / 1000 });
  if (state.traffic.length > KEPT) state.traffic.shift();
}

export function listen() {
  const source = new EventSource("/ui/events");
  source.addEventListener("layouts", (event) => { state.layouts = JSON.parse(event.data).layouts; });
  source.addEventListener("news", (event) => {
    heard = performance.now();
    state.cut = false;
    state.news = JSON.parse(event.data);
    remember(state.news);
    document.body.classList.remove("cut");
    tell();
  });
  setInterval(() => {
    const cut = performance.now() - heard > STALE_MS;
    if (cut !== state.cut) {
      state.cut = cut;
      document.body.classList.toggle("cut", cut);
      tell();
      dispatchEvent(new CustomEvent("jedlik-cut", { detail: cut }));
    }
  }, 500);
}

/** Member of the cluster by its identity. */
export function member(news, node) {
  return news.cluster.members.find((one) => one.node === node);
}

export function nameOf(news, node) {
  return member(news, node)?.name ?? node.slice(0, 8);
}

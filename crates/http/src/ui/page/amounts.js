// Amounts as people read them.

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

export function bytes(count) {
  let [value, unit] = [Number(count), 0];
  while (value >= 1024 && unit < UNITS.length - 1) [value, unit] = [value / 1024, unit + 1];
  return `${value < 10 && unit > 0 ? value.toFixed(1) : Math.round(value)} ${UNITS[unit]}`;
}

export function count(number) {
  return Math.round(Number(number)).toLocaleString("en");
}

export function plural(number, word) {
  return `${count(number)} ${word}${Number(number) === 1 ? "" : "s"}`;
}

export function rate(number) {
  return number < 10 ? number.toFixed(1) : count(number);
}

export function milliseconds(us) {
  const ms = Number(us) / 1000;
  return ms < 10 ? ms.toFixed(2) : ms < 100 ? ms.toFixed(1) : count(ms);
}

export function span(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 90) return `${whole} s`;
  if (whole < 5400) return `${Math.round(whole / 60)} min`;
  if (whole < 129600) return `${Math.round(whole / 3600)} h`;
  return `${Math.round(whole / 86400)} d`;
}

/** Name of bytes in JSON: a string, or an object with their base64. */
export function named(name) {
  return typeof name === "string" ? name : `base64:${name.base64}`;
}

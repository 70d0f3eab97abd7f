/** Milliseconds → a duration in Go's notation, as Docker prints it: 90000 → "1m30s", 0.5 → "500µs", 0 → "0s". */
export function durationText(ms: number): string {
  const nanos = Math.round(Math.abs(ms) * 1e6);
  const sign = ms < 0 && nanos > 0 ? "-" : "";
  if (nanos < 1e9) return `${sign}${below(nanos)}`;
  const seconds = nanos / 1e9;
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor((seconds % 3600) / 60);
  const rest = Number((seconds % 60).toFixed(9));
  const parts = [
    hours > 0 ? `${hours}h` : "",
    hours + minutes > 0 ? `${minutes}m` : "",
    `${rest}s`,
  ];
  return `${sign}${parts.join("")}`;
}

function below(nanos: number): string {
  if (nanos === 0) return "0s";
  if (nanos < 1e3) return `${nanos}ns`;
  return nanos < 1e6 ? `${nanos / 1e3}µs` : `${nanos / 1e6}ms`;
}

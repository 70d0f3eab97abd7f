/** Words that somebody may have meant. */

/** The words most like `word`, where they are like it at all. */
export function nearest(word: string, words: readonly string[]): string[] {
  const allowed = Math.max(1, Math.floor(word.length * 0.4));
  const distances = words.map((other) => ({ other, distance: distanceOf(word, other) }));
  const least = Math.min(...distances.map(({ distance }) => distance));
  if (least > Math.min(allowed, 3)) return [];
  return distances.filter(({ distance }) => distance === least).map(({ other }) => other);
}

/** ", did you mean x?", or nothing. */
export function didYouMean(word: string, words: readonly string[]): string {
  const near = nearest(word, words).slice(0, 3);
  return near.length === 0 ? "" : `, did you mean ${near.join(" or ")}?`;
}

/** Damerau and Levenshtein's: letters put in, left out, changed, or exchanged with their neighbour. */
function distanceOf(a: string, b: string): number {
  let [before, last]: [number[], number[]] = [
    [],
    Array.from({ length: b.length + 1 }, (_, j) => j),
  ];
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const change = a[i - 1] === b[j - 1] ? 0 : 1;
      const steps = [(last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (last[j - 1] ?? 0) + change];
      const exchanged = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (exchanged) steps.push((before[j - 2] ?? 0) + 1);
      row.push(Math.min(...steps));
    }
    [before, last] = [last, row];
  }
  return last[b.length] ?? 0;
}

/**
 * Line plots as SVG text, for reports that need nothing else.
 *
 * @module
 */

/** A point: step and value. */
export type Point = readonly [x: number, y: number];

/** One line of a plot. */
export interface Series {
  /** What the legend calls it. */
  readonly name: string;
  /** Its points, ascending in x. */
  readonly points: readonly Point[];
}

/** Width and height of the drawing, and the room for labels around it. */
const SIZE = { width: 640, height: 240, left: 64, right: 12, top: 12, bottom: 28 } as const;
/** More points than this are drawn as the range of each bucket of them. */
const MOST_POINTS = 600;
const TICKS = 5;

/** Draws lines over one axis; an empty text where there is nothing to draw. */
export function linePlot(series: readonly Series[]): string {
  const drawn = series.filter(({ points }) => points.length > 0);
  if (drawn.length === 0) return "";
  const all = drawn.flatMap(({ points }) => points);
  const x = scaleOf(all.map(([at]) => at));
  const y = scaleOf(all.map(([, value]) => value));
  const { width, height, left, right, top, bottom } = SIZE;
  const px = (at: number) => left + x.share(at) * (width - left - right);
  const py = (value: number) => height - bottom - y.share(value) * (height - top - bottom);
  const lines = drawn.map(({ points, name }, i) => {
    const path = thinned(points).map(([at, value]) =>
      `${px(at).toFixed(1)},${py(value).toFixed(1)}`
    );
    const dot = points.length === 1
      ? `<circle r="3" class="d${i}" cx="${px(points[0]![0])}" ` +
        `cy="${py(points[0]![1])}"/>`
      : "";
    return `<polyline class="s${i}" points="${path.join(" ")}"><title>${escapeHtml(name)}</title>` +
      `</polyline>${dot}`;
  });
  const rows = y.ticks.map((value) =>
    `<line class="grid" x1="${left}" x2="${width - right}" y1="${py(value)}" y2="${py(value)}"/>` +
    `<text x="${left - 6}" y="${py(value) + 4}" text-anchor="end">${label(value)}</text>`
  );
  const columns = x.ticks.map((at) =>
    `<text x="${px(at)}" y="${height - 8}" text-anchor="middle">${label(at)}</text>`
  );
  return `<svg viewBox="0 0 ${width} ${height}" role="img">${rows.join("")}${columns.join("")}` +
    `${lines.join("")}</svg>`;
}

interface Scale {
  /** Where a value lies, from 0 to 1. */
  share(value: number): number;
  /** Round values inside. */
  readonly ticks: readonly number[];
}

function scaleOf(values: readonly number[]): Scale {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) [low, high] = [Math.min(low, value), Math.max(high, value)];
  if (low === high) [low, high] = [low - Math.abs(low || 1) / 2, high + Math.abs(high || 1) / 2];
  const rough = (high - low) / TICKS;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough)!;
  const ticks: number[] = [];
  for (let i = Math.ceil(low / step); i * step <= high * (1 + 1e-9); i++) ticks.push(i * step);
  return { share: (value) => (value - low) / (high - low), ticks };
}

/** Fewer points that show the same: the lowest and the highest of each bucket, in order. */
function thinned(points: readonly Point[]): Point[] {
  if (points.length <= MOST_POINTS) return [...points];
  const size = Math.ceil(points.length / (MOST_POINTS / 2));
  const kept: Point[] = [];
  for (let i = 0; i < points.length; i += size) {
    const bucket = points.slice(i, i + size);
    const by = (pick: (a: Point, b: Point) => boolean) =>
      bucket.reduce((best, point) => pick(point, best) ? point : best);
    const ends = [by((a, b) => a[1] < b[1]), by((a, b) => a[1] > b[1])];
    kept.push(...ends.sort((a, b) => a[0] - b[0]));
  }
  return kept;
}

function label(value: number): string {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-3) return value.toExponential(1).replace("e+", "e");
  return String(Number(value.toPrecision(4)));
}

/** Escapes what HTML gives a meaning: & < > " '. */
export function escapeHtml(text: string): string {
  const names: Readonly<Record<string, string>> = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;",
    "'": "&#39;",
  };
  return text.toWellFormed().replace(/[&<>"']/g, (letter) => names[letter]!);
}

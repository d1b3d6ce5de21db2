/**
 * Bar charts as SVG: groups of labelled bars side by side, each group on a scale of its own.
 *
 * @module
 */

/** One bar. */
export interface Bar {
  /** What it stands for. */
  readonly label: string;
  /** Its length; not negative. */
  readonly value: number;
  /** The value as it is written beside the bar. */
  readonly text: string;
}

/** Bars that are compared with one another. */
export interface BarGroup {
  /** What is compared, and in what. */
  readonly title: string;
  /** The bars, at least one of which is longer than 0. */
  readonly bars: readonly Bar[];
}

const WIDTH = 720;
const LABELS = 150;
const VALUES = 130;
const LINE = 26;
const TITLE = 40;
const COLORS = ["#4477aa", "#ee6677", "#228833", "#ccbb44"];

const escaped = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

function drawGroup({ title, bars }: BarGroup, top: number): string[] {
  const longest = Math.max(...bars.map(({ value }) => value), Number.MIN_VALUE);
  const lines = [`<text x="8" y="${top + 24}" font-weight="bold">${escaped(title)}</text>`];
  bars.forEach(({ label, value, text }, i) => {
    const y = top + TITLE + i * LINE;
    const length = (value / longest) * (WIDTH - LABELS - VALUES);
    lines.push(
      `<text x="${LABELS - 8}" y="${y + 15}" text-anchor="end">${escaped(label)}</text>`,
      `<rect x="${LABELS}" y="${y}" width="${length.toFixed(1)}" height="${LINE - 6}" ` +
        `fill="${COLORS[i % COLORS.length]}"/>`,
      `<text x="${(LABELS + length + 6).toFixed(1)}" y="${y + 15}">${escaped(text)}</text>`,
    );
  });
  return lines;
}

/** Draws groups of bars one below the other. */
export function barChart(groups: readonly BarGroup[]): string {
  const lines: string[] = [];
  let top = 0;
  for (const group of groups) {
    lines.push(...drawGroup(group, top));
    top += TITLE + group.bars.length * LINE + 12;
  }
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${top}" width="${WIDTH}" ` +
    `font-family="sans-serif" font-size="13">`,
    `<rect width="100%" height="100%" fill="white"/>`,
    ...lines,
    "</svg>",
    "",
  ].join("\n");
}

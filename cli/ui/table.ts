/**
 * Tables for people: columns aligned by spaces, no borders.
 *
 * @module
 */

import { type Style, styled } from "./style.ts";
import type { Output } from "../io.ts";

/** One column of a table. */
export interface Column {
  /** The heading; a table whose headings are all empty has no heading line. */
  readonly title: string;
  /** Numbers stand right; text stands left. */
  readonly align?: "left" | "right";
  /** How the cells look on a terminal. */
  readonly style?: Style;
}

// deno-lint-ignore no-control-regex -- these are the escapes of cli/ui/style.ts
const STYLES = /\x1b\[\d+m/g;

/** Columns that text takes, where every letter takes one. */
function width(text: string): number {
  return [...text.replace(STYLES, "")].length;
}

function line(
  cells: readonly string[],
  columns: readonly Column[],
  options: {
    readonly widths: readonly number[];
    readonly paint: (text: string, i: number) => string;
  },
): string {
  const padded = columns.map((column, i) => {
    const cell = cells[i] ?? "";
    const fill = " ".repeat(Math.max(0, options.widths[i]! - width(cell)));
    const painted = options.paint(cell, i);
    if (column.align === "right") return fill + painted;
    return i === columns.length - 1 ? painted : painted + fill;
  });
  return padded.join("  ").trimEnd();
}

/** Writes rows of cells as a table; a missing cell is empty. */
export function writeTable(
  output: Output,
  table: { readonly columns: readonly Column[]; readonly rows: readonly (readonly string[])[] },
): void {
  const { columns, rows } = table;
  const titles = columns.map((column) => column.title);
  const widths = columns.map((_, i) =>
    rows.reduce((widest, row) => Math.max(widest, width(row[i] ?? "")), width(titles[i]!))
  );
  const lines: string[] = [];
  if (titles.some((title) => title !== "")) {
    const paint = (text: string) => text === "" ? "" : styled(text, "bold", output);
    lines.push(line(titles, columns, { widths, paint }));
  }
  const paint = (text: string, i: number) => {
    const style = columns[i]!.style;
    return style === undefined ? text : styled(text, style, output);
  };
  for (const row of rows) lines.push(line(row, columns, { widths, paint }));
  if (lines.length > 0) output.write(lines.join("\n") + "\n");
}

/**
 * How much of the machine others take while something is measured.
 *
 * llama.cpp's threads wait for one another by spinning: a third busy process costs it far more than
 * its share, and a rate measured beside one says nothing about either side.
 *
 * @module
 */

import { readFileSync } from "node:fs";
import { cpus } from "node:os";

/** Units of time in `/proc/stat`, per second (USER_HZ is 100 on every Linux). */
const TICKS = 100;

/** CPU seconds so far: of all, and of this process and its children that have ended. */
interface Times {
  readonly all: number;
  readonly own: number;
  readonly at: number;
}

function times(): Times | undefined {
  try {
    const all = readFileSync("/proc/stat", "utf8").split("\n")[0]!.trim().split(/\s+/).slice(1);
    const [user, nice, system, , , irq, softirq] = all.map(Number) as number[];
    const own = readFileSync("/proc/self/stat", "utf8").split(") ")[1]!.split(" ");
    const mine = own.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
    const busy = user! + nice! + system! + irq! + softirq!;
    return { all: busy / TICKS, own: mine / TICKS, at: performance.now() / 1e3 };
  } catch {
    return undefined;
  }
}

/** Share of the machine's time that others took since `before`; undefined where it is not told. */
function shareOfOthers(before: Times | undefined): number | undefined {
  const now = times();
  if (before === undefined || now === undefined) return undefined;
  const others = now.all - before.all - (now.own - before.own);
  return Math.max(0, others / (now.at - before.at) / cpus().length);
}

/** What was found, and what others did meanwhile. */
export interface Observed<T> {
  /** What was found. */
  readonly value: T;
  /** Share of the machine's time that others took; undefined where it is not told. */
  readonly others: number | undefined;
}

/** Runs something and watches the others. */
export async function observed<T>(work: () => Promise<T>): Promise<Observed<T>> {
  const before = times();
  const value = await work();
  return { value, others: shareOfOthers(before) };
}

/** Waits until others take less than a share of the machine, but no longer than some seconds. */
export async function waitUntilQuiet(share: number, patience: number): Promise<void> {
  const end = performance.now() + patience * 1e3;
  while (performance.now() < end) {
    const before = times();
    await new Promise((resolve) => setTimeout(resolve, 250));
    if ((shareOfOthers(before) ?? 0) <= share) return;
  }
}

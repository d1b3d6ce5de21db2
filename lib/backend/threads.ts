/**
 * How many threads `--threads auto` means on this machine at this moment.
 *
 * @module
 */

/** Others' share of the machine: what the load of the last minute exceeds our own possible part by. */
function busyProcessors(available: number): number {
  if (Deno.build.os === "windows") return 0;
  const permission = Deno.permissions.querySync({ name: "sys", kind: "loadavg" });
  if (permission.state !== "granted") return 0;
  return Math.max(0, Math.round(Deno.loadavg()[0]! - available));
}

/**
 * The processors that this process may use (affinity and container limits included), less those that
 * others keep busy, but never less than half of them: the system shares fairly. Ranks of one run that
 * are on this machine divide them.
 */
export function automaticThreads(ranks: number = 1): number {
  const available = Math.max(1, navigator.hardwareConcurrency);
  const free = Math.max(Math.ceil(available / 2), available - busyProcessors(available));
  return Math.max(1, Math.floor(free / ranks));
}

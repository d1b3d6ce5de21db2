/**
 * Numbers as people read them: counts, bytes, durations.
 *
 * @module
 */

/** Three significant digits, without an exponent: `9.87`, `98.7`, `987`. */
function threeDigits(value: number): string {
  const decimals = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
  return value.toFixed(decimals);
}

function scaled(value: number, base: number, units: readonly string[]): string {
  let unit = 0;
  let rest = Math.abs(value);
  // 999.5 would round to 1000 of the smaller unit.
  while (rest >= base - 0.5 && unit < units.length - 1) {
    rest /= base;
    unit++;
  }
  const sign = value < 0 ? "-" : "";
  const digits = unit === 0 && Number.isInteger(value) ? `${rest}` : threeDigits(rest);
  return `${sign}${digits}${units[unit] === "" ? "" : ` ${units[unit]}`}`;
}

/** A size in bytes with decimal units, as disks and downloads are measured: `1.04 MB`. */
export function formatBytes(bytes: number): string {
  return scaled(bytes, 1000, ["B", "kB", "MB", "GB", "TB", "PB"]);
}

/** A size in bytes with binary units, as memory is measured: `15.9 GiB`. */
export function formatMemory(bytes: number): string {
  return scaled(bytes, 1024, ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]);
}

/** A large count in short: `6.74 B` for 6,738,415,616 (K, M, B, T: thousand to trillion). */
export function formatCount(count: number): string {
  return scaled(count, 1000, ["", "K", "M", "B", "T"]);
}

/** A whole number with its thousands apart: `6,738,415,616`. */
export function formatInteger(value: number): string {
  return `${value}`.replace(/\B(?=(\d{3})+$)/g, ",");
}

/** A duration given in milliseconds: `850 ms`, `12.3 s`, `4 min 05 s`, `3 h 20 min`, `5 d 04 h`. */
export function formatDuration(ms: number): string {
  if (!Number.isFinite(ms)) return "unknown";
  if (ms < 0) return `-${formatDuration(-ms)}`;
  if (ms < 999.5) return `${ms < 9.995 ? ms.toFixed(2) : ms.toFixed(0)} ms`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  const two = (value: number) => `${value}`.padStart(2, "0");
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${two(seconds % 60)} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${hours} h ${two(minutes % 60)} min`;
  return `${Math.floor(hours / 24)} d ${two(hours % 24)} h`;
}

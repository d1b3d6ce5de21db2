/**
 * The sources of the CPU kernels and their hash, which says whether a built library is up to date.
 *
 * @module
 */

const CRATE = new URL("../kernels/cpu/", import.meta.url);

/** Folder of the crate. */
export const CRATE_FOLDER: URL = CRATE;

async function rustFiles(folder: URL, prefix: string): Promise<string[]> {
  const found: string[] = [];
  for await (const entry of Deno.readDir(folder)) {
    const name = prefix + entry.name;
    if (entry.isDirectory) {
      found.push(...await rustFiles(new URL(`${entry.name}/`, folder), `${name}/`));
    } else if (entry.name.endsWith(".rs")) found.push(name);
  }
  return found;
}

/** Hexadecimal SHA-256 of bytes. */
export async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
}

/**
 * Hexadecimal SHA-256 over the names and contents of all Rust sources and Cargo files and over the
 * flags. Line ends are taken as `\n`, so that a checkout on Windows gives the same.
 */
export async function sourceHash(flags: readonly string[]): Promise<string> {
  const sources = (await rustFiles(new URL("src/", CRATE), "src/")).sort();
  const parts: string[] = [flags.join("\n")];
  for (const name of ["Cargo.lock", "Cargo.toml", ...sources]) {
    const text = await Deno.readTextFile(new URL(name, CRATE));
    parts.push(name, text.replaceAll("\r\n", "\n"));
  }
  return await sha256(new TextEncoder().encode(parts.join("\0")));
}

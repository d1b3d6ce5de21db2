/**
 * Refuses exported symbols without a doc comment and public types that name private ones, in every
 * module of the library, the kernel table and the command line.
 *
 *     deno run --allow-read --allow-run scripts/check_docs.ts
 *
 * @module
 */

import { ROOT, sourceFiles } from "./source_files.ts";

const paths: string[] = ["mod.ts"];
for (const folder of ["lib", "kernels", "cli"]) {
  for await (const { path } of sourceFiles([".ts"], folder)) paths.push(path);
}
const { code } = await new Deno.Command(Deno.execPath(), {
  args: ["doc", "--lint", ...paths],
  cwd: ROOT,
  stdout: "inherit",
  stderr: "inherit",
}).output();
Deno.exit(code);

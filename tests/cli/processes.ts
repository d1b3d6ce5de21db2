/** Processes of this machine, found as `pgrep` finds them: `/proc` itself is not open to tests. */

/**
 * The processes that have an argument and a variable of their environment, such as `NAME=value`,
 * which is a basic regular expression for the whole of it. Linux alone has what this reads.
 */
export function processesWith(argument: string, variable: string): number[] {
  const matching = (flags: string, pattern: string, files: string) => {
    // NUL ends every argument and variable; a process that ended meanwhile is no error.
    const script = `grep -lzx${flags} -e "$1" ${files} 2>/dev/null`;
    const { stdout } = new Deno.Command("sh", { args: ["-c", script, "sh", pattern] }).outputSync();
    return new TextDecoder().decode(stdout).trim().split("\n").filter((line) => line !== "");
  };
  const having = matching("F", argument, "/proc/[0-9]*/cmdline");
  if (having.length === 0) return [];
  const environments = having.map((file) => file.replace("cmdline", "environ")).join(" ");
  return matching("", variable, environments).map((file) => Number(file.split("/")[2]));
}

/**
 * Several hosts on one machine: network namespaces with names and addresses of their own, connected
 * by one link that can be cut and slowed. Open MPI reaches the second as it reaches every host, by a
 * command that it is told in the place of ssh.
 */

import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MPIRUN, NO_MPI } from "./launch.ts";

const HOSTS = 2;
const NETWORK = "10.77.0";

function ip(...args: string[]): { readonly success: boolean; readonly said: string } {
  const { success, stderr } = new Deno.Command("ip", { args, stdout: "null" }).outputSync();
  return { success, said: new TextDecoder().decode(stderr) };
}

function mustIp(...args: string[]): void {
  const { success, said } = ip(...args);
  if (!success) throw new Error(`ip ${args.join(" ")}: ${said}`);
}

function whyNone(): string | undefined {
  if (NO_MPI !== undefined) return NO_MPI;
  if (Deno.build.os !== "linux" || Deno.uid() !== 0) return "network namespaces need root on Linux";
  try {
    const name = `llamero-probe-${Deno.pid}`;
    const { success, said } = ip("netns", "add", name);
    if (success) mustIp("netns", "del", name);
    return success ? undefined : `no network namespaces: ${said.trim()}`;
  } catch {
    return "ip (iproute2) is not here";
  }
}

/** Why there cannot be several hosts here, or nothing. */
export const NO_HOSTS: string | undefined = whyNone();

/** Hosts, until they are disposed of. */
export interface Hosts extends Disposable {
  /** What starts ranks on them, in turns: one on the first, one on the second, and so on. */
  readonly launcher: readonly string[];
  /** Cuts the link between them: packets are lost, and nobody is told. */
  cut(): void;
  /** Mends it. */
  mend(): void;
  /** Gives it a speed, such as "200mbit"; says whether this machine can do that. */
  slow(rate: string): boolean;
}

/** Makes hosts; names carry the process id, so that tests at the same time have their own. */
export function openHosts(): Hosts {
  const names = Array.from({ length: HOSTS }, (_, host) => `llamero-${Deno.pid}-${host}`);
  const link = (host: number) => `ll${Deno.pid}v${host}`.slice(-15);
  const folder = mkdtempSync(join(tmpdir(), "llamero-hosts-"));
  for (const name of names) {
    mustIp("netns", "add", name);
    mustIp("-n", name, "link", "set", "lo", "up");
  }
  const ends = [...["link", "add", link(0), "netns", names[0]!, "type", "veth"]];
  mustIp(...ends, "peer", "name", link(1), "netns", names[1]!);
  for (const [host, name] of names.entries()) {
    mustIp("-n", name, "addr", "add", `${NETWORK}.${host + 1}/24`, "dev", link(host));
    mustIp("-n", name, "link", "set", link(host), "up");
  }
  // Hosts have names of their own, by which Open MPI tells them apart.
  const enter = (name: string) => `ip netns exec ${name} unshare -u sh -c 'hostname ${name}; exec`;
  const agent = join(folder, "agent");
  const cases = names.map((name, host) =>
    `${NETWORK}.${host + 1}) ${enter(name)} sh -c "$0"' "$command" ;;`
  );
  writeFileSync(
    agent,
    `#!/bin/sh\nhost=$1; shift; command="$*"\ncase $host in\n${cases.join("\n")}\nesac\n`,
  );
  chmodSync(agent, 0o755);
  const list = names.map((_, host) => `${NETWORK}.${host + 1}:8`).join();
  const over = ["btl_tcp_if_include", "oob_tcp_if_include"];
  const traffic = (host: number, ...args: string[]) =>
    new Deno.Command("ip", {
      args: [
        "netns",
        "exec",
        names[host]!,
        "tc",
        "qdisc",
        "replace",
        "dev",
        link(host),
        "root",
        ...args,
      ],
      stdout: "null",
      stderr: "null",
    }).outputSync().success;
  const route = (action: string, host: number) =>
    ["route", action, "blackhole", `${NETWORK}.${2 - host}/32`] as const;
  return {
    launcher: [
      ...["sh", "-c", `${enter(names[0]!)} "$0" "$@"' "$0" "$@"`, "mpirun", ...MPIRUN],
      ...["--mca", "plm_rsh_agent", agent, "--host", list, "--map-by", "node"],
      ...["--mca", "btl", "self,tcp"],
      ...over.flatMap((parameter) => ["--mca", parameter, `${NETWORK}.0/24`]),
    ],
    // Taking an end down would tell its own side; so packets go, and do not arrive.
    cut: () => names.forEach((name, host) => mustIp("-n", name, ...route("replace", host))),
    mend: () => names.forEach((name, host) => ip("-n", name, ...route("del", host))),
    slow: (rate) =>
      names.every((_, host) =>
        traffic(host, "netem", "rate", rate, "limit", "100000") ||
        traffic(host, "tbf", "rate", rate, "burst", "64kb", "latency", "200ms")
      ),
    [Symbol.dispose]() {
      for (const name of names) ip("netns", "del", name);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

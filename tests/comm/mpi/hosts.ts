/**
 * Several hosts on one machine: network namespaces with names and addresses of their own, connected
 * by one link that can be cut and slowed. Open MPI reaches the second as it reaches every host, by a
 * command that it is told in the place of ssh.
 */

import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MPIRUN, NO_MPI, whyLauncherFails } from "./launch.ts";

const NETWORK = "10.77.0";
/** Jumbo frames, as clusters have: small ones cost processors that ranks compute on. */
const MTU = 9000;

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
    ip("netns", "list");
  } catch {
    return "ip (iproute2) is not here";
  }
  try {
    using hosts = openHosts();
    return whyLauncherFails(hosts.launcher);
  } catch (error) {
    return `no network namespaces: ${error instanceof Error ? error.message : error}`;
  }
}

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

/** A host's name, address and end of the link. */
interface Host {
  readonly name: string;
  readonly address: string;
  readonly link: string;
}

/** Makes namespaces whose names nobody else has, so that tests at the same time have their own. */
function makeHosts(): readonly [Host, Host] {
  const tag = crypto.randomUUID().slice(0, 8);
  const [first, second] = [0, 1].map((host): Host => ({
    name: `llamero-${tag}-${host}`,
    address: `${NETWORK}.${host + 1}`,
    link: `ll${tag}v${host}`,
  })) as [Host, Host];
  for (const { name } of [first, second]) {
    mustIp("netns", "add", name);
    mustIp("-n", name, "link", "set", "lo", "up");
  }
  const pair = ["link", "add", first.link, "netns", first.name, "type", "veth"];
  mustIp(...pair, "peer", "name", second.link, "netns", second.name);
  for (const { name, address, link } of [first, second]) {
    mustIp("-n", name, "addr", "add", `${address}/24`, "dev", link);
    mustIp("-n", name, "link", "set", link, "mtu", String(MTU), "up");
  }
  return [first, second];
}

/** Enters a host, which has a name of its own, by which Open MPI tells it from others. */
const enter = ({ name }: Host) => `ip netns exec ${name} unshare -u sh -c 'hostname ${name}; exec`;

/** Writes what Open MPI calls in the place of ssh: `agent HOST COMMAND...`. */
function writeAgent(path: string, hosts: readonly Host[]): void {
  const cases = hosts.map((host) => `${host.address}) ${enter(host)} sh -c "$0"' "$command" ;;`);
  const script = ["#!/bin/sh", 'host=$1; shift; command="$*"', "case $host in", ...cases, "esac"];
  writeFileSync(path, script.join("\n") + "\n");
  chmodSync(path, 0o755);
}

function launcherOn(hosts: readonly [Host, Host], agent: string): string[] {
  const over = ["btl_tcp_if_include", "oob_tcp_if_include"];
  return [
    ...["sh", "-c", `${enter(hosts[0])} "$0" "$@"' "$0" "$@"`, "mpirun", ...MPIRUN],
    ...["--host", hosts.map(({ address }) => `${address}:8`).join(), "--map-by", "node"],
    ...["--mca", "plm_rsh_agent", agent, "--mca", "btl", "self,tcp"],
    ...over.flatMap((parameter) => ["--mca", parameter, `${NETWORK}.0/24`]),
  ];
}

/** Sets how packets leave a host; says whether this machine can do that. */
function shape({ name, link }: Host, ...how: string[]): boolean {
  const args = ["netns", "exec", name, "tc", "qdisc", "replace", "dev", link, "root", ...how];
  return new Deno.Command("ip", { args, stdout: "null", stderr: "null" }).outputSync().success;
}

/** Makes hosts. */
export function openHosts(): Hosts {
  const hosts = makeHosts();
  const [first, second] = hosts;
  const folder = mkdtempSync(join(tmpdir(), "llamero-hosts-"));
  const agent = join(folder, "agent");
  writeAgent(agent, hosts);
  const ways = [[first, second], [second, first]] as const;
  const route = (
    action: string,
    from: Host,
    to: Host,
  ) => ["-n", from.name, "route", action, "blackhole", `${to.address}/32`];
  return {
    launcher: launcherOn(hosts, agent),
    // Taking an end down would tell its own side; so packets go, and do not arrive.
    cut: () => ways.forEach(([from, to]) => mustIp(...route("replace", from, to))),
    mend: () => ways.forEach(([from, to]) => void ip(...route("del", from, to))),
    slow: (rate) =>
      hosts.every((host) =>
        shape(host, "netem", "rate", rate, "limit", "100000") ||
        shape(host, "tbf", "rate", rate, "burst", "64kb", "latency", "200ms")
      ),
    [Symbol.dispose]() {
      for (const { name } of hosts) ip("netns", "del", name);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Why there cannot be several hosts here, or nothing. */
export const NO_HOSTS: string | undefined = whyNone();

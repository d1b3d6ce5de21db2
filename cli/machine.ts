/**
 * What this machine offers besides the backends: processor, memory, NVIDIA GPUs, MPI. A fact that
 * cannot be had is `undefined` or a reason, never an error.
 *
 * @module
 */

import { cpus } from "node:os";
import { ncclVersion } from "../lib/backend/cuda.ts";
import type { MpiLibrary } from "../lib/backend/mpi_link.ts";
import { BackendError } from "../lib/base/errors.ts";
import { findMpiLibrary, INSTALL_MPI } from "../lib/comm/mpi/library.ts";

/** One NVIDIA GPU. */
export interface Gpu {
  /** The product's name. */
  readonly name: string;
  /** The GPU's own memory, all of it, in bytes. */
  readonly memory_bytes: number;
  /** Version of the driver. */
  readonly driver: string;
}

/** The GPUs, or why there are none. */
export interface GpuReport {
  /** Every NVIDIA GPU that the driver shows. */
  readonly devices: readonly Gpu[];
  /** What was found, or why nothing. */
  readonly reason: string;
}

/** Whether processes can be started by MPI. */
export interface MpiReport {
  /** Whether a launcher and a library were found. */
  readonly available: boolean;
  /** Which ones, or what is missing. */
  readonly reason: string;
  /** The library that was found. */
  readonly library?: MpiLibrary;
}

/** Whether GPUs can be connected by NCCL. */
export interface NcclReport {
  /** Whether one was found that will do. */
  readonly available: boolean;
  /** Its version, or what is missing. */
  readonly reason: string;
}

/** Memory in bytes. */
export interface MemoryReport {
  /** What is built in. */
  readonly total_bytes: number;
  /** What can still be had. */
  readonly available_bytes: number;
}

/** A program that has not answered by then hangs. */
const PATIENCE_MS = 5000;

function orUndefined<T>(fact: () => T): T | undefined {
  try {
    return fact();
  } catch {
    return undefined; // No permission, or the system does not say.
  }
}

/** What the processor is called by its maker, where the system tells. */
export function processorName(): string | undefined {
  return orUndefined(() => cpus()[0]?.model.trim() || undefined);
}

/** Version of the operating system's kernel. */
export function systemRelease(): string | undefined {
  return orUndefined(() => Deno.osRelease());
}

/** Memory of the machine. */
export function memoryReport(): MemoryReport | undefined {
  const info = orUndefined(() => Deno.systemMemoryInfo());
  return info && { total_bytes: info.total, available_bytes: info.available };
}

/** What a program prints, or why it prints nothing. */
async function ask(program: string, args: string[]): Promise<{ text?: string; reason: string }> {
  try {
    const output = await new Deno.Command(program, {
      args,
      stdin: "null",
      stderr: "null",
      signal: AbortSignal.timeout(PATIENCE_MS),
    }).output();
    if (!output.success) return { reason: `${program} ended with ${output.code}` };
    return { text: new TextDecoder().decode(output.stdout).trim(), reason: "" };
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return { reason: `no ${program} found` };
    if (error instanceof Deno.errors.NotCapable) {
      return { reason: `unknown: running ${program} is not permitted (--allow-run)` };
    }
    return { reason: `${program} cannot run` };
  }
}

/** The NVIDIA GPUs that the driver shows. */
export async function gpuReport(): Promise<GpuReport> {
  const { text, reason } = await ask("nvidia-smi", [
    "--query-gpu=name,memory.total,driver_version",
    "--format=csv,noheader,nounits",
  ]);
  if (text === undefined) return { devices: [], reason };
  const devices = text.split("\n").map((line) => line.split(",").map((cell) => cell.trim()))
    .filter((cells) => cells.length === 3)
    .map(([name, mebibytes, driver]) => ({
      name: name!,
      memory_bytes: Number(mebibytes) * 2 ** 20,
      driver: driver!,
    }));
  return { devices, reason: devices.length === 0 ? "nvidia-smi shows no device" : "ready" };
}

/** NCCL, as the CUDA library finds it, or that of a name or path. */
export function ncclReport(
  options: { readonly library?: string | undefined; readonly nccl?: string | undefined },
): NcclReport {
  if (options.nccl === "off") return { available: false, reason: "LLAMERO_NCCL is off" };
  try {
    return { available: true, reason: `NCCL ${ncclVersion(options)}` };
  } catch (error) {
    if (!(error instanceof BackendError)) throw error;
    const { message, hint } = error;
    return { available: false, reason: hint === undefined ? message : `${message}; ${hint}` };
  }
}

/** The library of MPI, as the native library finds it. */
function mpiLibrary(name: string | undefined): MpiLibrary | { readonly missing: string } {
  try {
    return findMpiLibrary(name);
  } catch (error) {
    if (!(error instanceof BackendError)) throw error;
    const { message, hint } = error;
    return { missing: hint === undefined ? message : `${message}; ${hint}` };
  }
}

/** The MPI launcher and library, or that of a name or path. */
export async function mpiReport(named?: string): Promise<MpiReport> {
  const { text, reason } = await ask("mpirun", ["--version"]);
  if (text === undefined) return { available: false, reason: `${reason}; ${INSTALL_MPI}` };
  const lines = text.split("\n").map((line) => line.trim());
  // MPICH's launcher says its version on a line of its own below a heading.
  const version = lines.find((line) => line.startsWith("Version:"));
  const launcher = version === undefined ? lines[0]! : `MPICH ${version}`;
  const library = mpiLibrary(named);
  if ("missing" in library) return { available: false, reason: `${launcher}; ${library.missing}` };
  const { name } = library;
  return { available: true, reason: `${launcher}; ${name}: ${library.version}`, library };
}

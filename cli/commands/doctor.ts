/**
 * `llamero doctor`: what this machine offers, and what is missing.
 *
 * @module
 */

import { type Availability, availableBackends, openBackend } from "../../lib/backend/open.ts";
import { automaticThreads } from "../../lib/backend/threads.ts";
import { LlameroError } from "../../lib/base/errors.ts";
import { formatMemory } from "../../lib/base/format.ts";
import { type Io, writeJson } from "../io.ts";
import {
  type GpuReport,
  gpuReport,
  type MemoryReport,
  memoryReport,
  type MpiReport,
  mpiReport,
  type NcclReport,
  ncclReport,
  processorName,
  systemRelease,
} from "../machine.ts";
import { styled } from "../ui/style.ts";
import { writeTable } from "../ui/table.ts";
import { VERSION } from "../version.ts";
import type { DoctorOptions } from "./doctor.spec.ts";

interface BackendReport extends Availability {
  readonly isa?: string;
  readonly features?: readonly string[];
}

interface Report {
  readonly version: string;
  readonly deno: string;
  readonly system: { readonly os: string; readonly arch: string; readonly release?: string };
  readonly processor: { readonly name?: string; readonly threads: number };
  readonly automatic_threads: number;
  readonly memory?: MemoryReport;
  readonly backends: readonly BackendReport[];
  readonly gpu: GpuReport;
  readonly mpi: MpiReport;
  readonly nccl: NcclReport;
}

/** Opens what should be there: a library may be found and refuse its first work all the same. */
async function tried(backend: Availability, library?: string): Promise<BackendReport> {
  if (!backend.available) return backend;
  try {
    const opened = await openBackend({ backend: backend.name, threads: 1, cuda: { library } });
    const { isa, features } = opened.info;
    opened.close();
    return { ...backend, isa, features };
  } catch (error) {
    if (!(error instanceof LlameroError)) throw error;
    const hint = error.hint === undefined ? "" : `; ${error.hint}`;
    return { ...backend, available: false, reason: error.message + hint };
  }
}

async function examine(io: Io): Promise<Report> {
  const library = io.env("LLAMERO_CUDA");
  const [backends, gpu, mpi] = await Promise.all([
    availableBackends(library).then((all) => Promise.all(all.map((one) => tried(one, library)))),
    gpuReport(),
    mpiReport(io.env("LLAMERO_MPI")),
  ]);
  const [release, name, memory] = [systemRelease(), processorName(), memoryReport()];
  return {
    version: VERSION,
    deno: Deno.version.deno,
    system: { os: Deno.build.os, arch: Deno.build.arch, ...(release && { release }) },
    processor: { ...(name && { name }), threads: navigator.hardwareConcurrency },
    automatic_threads: automaticThreads(),
    ...(memory && { memory }),
    backends,
    gpu,
    mpi,
    nccl: ncclReport({ library, nccl: io.env("LLAMERO_NCCL") }),
  };
}

function describe({ available, reason, isa, features }: BackendReport): string {
  if (!available) return reason;
  return [isa, ...(features ?? []).length === 0 ? [] : [`(${features!.join(" ")})`]].join(" ");
}

function print(report: Report, io: Io): void {
  const { system, processor, memory, backends, gpu, mpi, nccl } = report;
  const mark = (good: boolean) => styled(good ? "yes" : "no", good ? "green" : "yellow", io.stdout);
  const plain = { columns: [{ title: "" }, { title: "" }] };
  const release = system.release === undefined ? "" : ` ${system.release}`;
  const auto = `--threads auto is ${report.automatic_threads} now`;
  writeTable(io.stdout, {
    ...plain,
    rows: [
      ["llamero", `${report.version} on Deno ${report.deno}`],
      ["system", `${system.os}${release}, ${system.arch}`],
      ["processor", `${processor.name ?? "unknown"}, ${processor.threads} threads (${auto})`],
      [
        "memory",
        memory === undefined
          ? "unknown"
          : `${formatMemory(memory.total_bytes)}, ${
            formatMemory(memory.available_bytes)
          } available`,
      ],
    ],
  });
  io.stdout.write(`\n${styled("backends, the preferred one first", "bold", io.stdout)}\n`);
  writeTable(io.stdout, {
    columns: [{ title: "" }, { title: "" }, { title: "" }],
    rows: backends.map((backend) => [backend.name, mark(backend.available), describe(backend)]),
  });
  const devices = gpu.devices.map((device) =>
    `${device.name}, ${formatMemory(device.memory_bytes)}, driver ${device.driver}`
  );
  io.stdout.write(`\n${styled("for more than one processor", "bold", io.stdout)}\n`);
  writeTable(io.stdout, {
    columns: [{ title: "" }, { title: "" }, { title: "" }],
    rows: [
      ["NVIDIA GPU", mark(devices.length > 0), devices[0] ?? gpu.reason],
      ...devices.slice(1).map((device) => ["", "", device]),
      ["NCCL", mark(nccl.available), nccl.reason],
      ["MPI", mark(mpi.available), mpi.reason],
    ],
  });
}

/** Examines the machine and reports. */
export async function run({ json }: DoctorOptions, io: Io): Promise<void> {
  const report = await examine(io);
  if (json) writeJson(io.stdout, report);
  else print(report, io);
}

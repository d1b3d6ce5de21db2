/**
 * Machines that runs are planned for, as their makers describe them.
 *
 * How fast they are in practice stands in `efficiency.ts`; what papers reached on them in
 * `published.ts`.
 *
 * @module
 */

import { UsageError } from "../base/errors.ts";
import { didYouMean } from "../base/nearest.ts";
import { quoted } from "../base/quoted.ts";

/** Kinds of chip: devices of one chip differ in memory alone. */
export const CHIPS = ["a100", "h100", "tpu-v4"] as const;

/** A kind of chip. */
export type ChipName = (typeof CHIPS)[number];

/** How devices are joined: within a node, and beyond it; bytes per second are one way. */
export interface Fabric {
  /** Devices that the fast links join. */
  readonly nodeSize: number;
  /** Bytes per second of one device over them: all it has, or one axis of a torus. */
  readonly nodeBandwidth: number;
  /** Axes of the torus that the fast links make; a switch has none. */
  readonly torusAxes?: number;
  /** Bytes per second of one device over it. */
  readonly networkBandwidth: number;
}

/** One device of a kind. */
export interface Hardware {
  /** The name that `--hardware` takes. */
  readonly name: string;
  /** What it is. */
  readonly title: string;
  /** Whose constants of efficiency hold for it. */
  readonly chip: ChipName;
  /** Peak dense bf16 operations per second, as the maker says. */
  readonly peakFlops: number;
  /** Bytes of its memory. */
  readonly memory: number;
  /** Bytes per second of its memory. */
  readonly memoryBandwidth: number;
  /** How devices are joined. */
  readonly fabric: Fabric;
  /** Share of the peak that well-made training reaches, where no paper says it of the model. */
  readonly usualMfu: number;
}

/** DGX A100: third NVLink, 600 GB/s both ways; 8 x 200 Gb/s HDR InfiniBand. Source: NVIDIA's data sheets. */
const DGX_A100: Fabric = {
  nodeSize: 8,
  nodeBandwidth: 300e9,
  networkBandwidth: 25e9,
};

/** Nodes of H100: fourth NVLink, 900 GB/s both ways; 8 x 400 Gb/s (NVIDIA; Grattafiori et al. 2024, 3.3.1). */
const DGX_H100: Fabric = {
  nodeSize: 8,
  nodeBandwidth: 450e9,
  networkBandwidth: 50e9,
};

/**
 * A pod: a torus of three axes, each with two links of 50 GB/s (45 usable) one way; between pods the
 * data center's network, 25 GB/s for a host of four chips. Sources: Jouppi et al. 2023
 * (arXiv:2304.01433), table 4; Austin et al. 2025, "How to Scale Your Model", chapter 2.
 */
const POD_V4: Fabric = {
  nodeSize: 4096,
  nodeBandwidth: 90e9,
  torusAxes: 3,
  networkBandwidth: 6.25e9,
};

const A100: Hardware = {
  name: "a100-40gb",
  title: "NVIDIA A100 40 GB",
  chip: "a100",
  peakFlops: 312e12,
  memory: 40e9,
  memoryBandwidth: 1555e9,
  fabric: DGX_A100,
  usualMfu: 0.5,
};

const H100: Hardware = {
  name: "h100-80gb",
  title: "NVIDIA H100 SXM 80 GB",
  chip: "h100",
  peakFlops: 989.4e12,
  memory: 80e9,
  memoryBandwidth: 3352e9,
  fabric: DGX_H100,
  usualMfu: 0.42,
};

/** Makers' figures: NVIDIA's data sheets without sparsity; Jouppi et al. 2023, table 4, for TPU v4. */
const HARDWARE: readonly Hardware[] = [
  A100,
  {
    ...A100,
    name: "a100-80gb",
    title: "NVIDIA A100 80 GB",
    memory: 80e9,
    memoryBandwidth: 2039e9,
  },
  H100,
  {
    ...H100,
    name: "h200",
    title: "NVIDIA H200 141 GB",
    memory: 141e9,
    memoryBandwidth: 4800e9,
    usualMfu: 0.45,
  },
  {
    name: "tpu-v4",
    title: "Google TPU v4",
    chip: "tpu-v4",
    peakFlops: 275e12,
    memory: 32 * 2 ** 30,
    memoryBandwidth: 1200e9,
    fabric: POD_V4,
    usualMfu: 0.46,
  },
];

/** Names that `--hardware` takes. */
export const HARDWARE_NAMES: readonly string[] = HARDWARE.map(({ name }) => name);

/** Other spellings of a name come to the same: `A100-40G`, `H100`, `TPU v4`. */
function spelling(name: string): string {
  const plain = name.toLowerCase().replaceAll(/[^a-z0-9]/g, "").replace(/gb?$/, "");
  return plain === "h100" ? "h10080" : plain === "h200141" ? "h200" : plain;
}

/** The device of a name, however it is spelt. @throws {UsageError} Where there is none. */
export function hardwareOf(name: string): Hardware {
  const found = HARDWARE.find((one) => spelling(one.name) === spelling(name));
  if (found !== undefined) return found;
  throw new UsageError(`Cannot plan for ${quoted(name)}: no machine of this name is known`, {
    hint: didYouMean(name, HARDWARE_NAMES) ?? `known are ${HARDWARE_NAMES.join(", ")}`,
  });
}

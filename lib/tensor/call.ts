/**
 * Calls a kernel with tensors, checked against the kernel table: shapes, element types, backend.
 *
 * The table names the dimensions of every tensor argument; equal names must have equal extents, and
 * the scalars of the same names follow from them, as do element type codes and row strides.
 *
 * @module
 */

import { DTYPE_CODES, KERNELS, type Parameter } from "../../kernels/abi.ts";
import type { Backend } from "../backend/backend.ts";
import type { KernelName } from "../backend/kernels.generated.ts";
import { ShapeError } from "../base/errors.ts";
import { isDType } from "./dtype.ts";
import { shapeText } from "./shape.ts";
import { isDense, rowStrideOf, type Tensor } from "./tensor.ts";

/** Arguments of a kernel that do not follow from its tensors, and its tensors, all by their names. */
export interface CallArguments {
  /** Tensors by the names of the table; optional ones may be left out. */
  readonly tensors: Readonly<Record<string, Tensor | undefined>>;
  /** Scalars that no shape tells. */
  readonly scalars?: Readonly<Record<string, number>>;
}

/** What is known of the names in a call. */
class Bindings {
  readonly #kernel: string;
  /** Extents and codes by name, and the argument that told them. */
  readonly #known = new Map<string, { value: number; from: string }>();

  constructor(kernel: string) {
    this.#kernel = kernel;
  }

  get(name: string): number | undefined {
    return this.#known.get(name)?.value;
  }

  fail(what: string): never {
    throw new ShapeError(`Cannot run "${this.#kernel}": ${what}`);
  }

  /** Learns a value, or compares it with what another argument said. */
  bind(name: string, value: number, from: string, shown: string): void {
    const known = this.#known.get(name);
    if (known === undefined) this.#known.set(name, { value, from });
    else if (known.value !== value) {
      this.fail(`${shown}, but ${name} is ${known.value} in "${known.from}"`);
    }
  }

  /** Binds the extents of one tensor to the dimension names of the table. */
  bindShape(argument: string, tensor: Tensor, shape: string): void {
    const names = shape.split(" ");
    const shown = `"${argument}" is ${shapeText(tensor.shape)}`;
    if (names.length !== tensor.shape.length) {
      this.fail(`${shown}, [${names.join(", ")}] was wanted`);
    }
    names.forEach((name, axis) => {
      const extent = tensor.shape[axis]!;
      const [base, divisor] = name.split("/");
      if (/^\d+$/.test(name)) {
        if (extent !== Number(name)) this.fail(`${shown}, [${names.join(", ")}] was wanted`);
      } else this.bind(base!, extent * Number(divisor ?? 1), argument, shown);
    });
  }
}

/** Name of the scalar that carries the row stride of a tensor argument, if the kernel has one. */
function strideScalar(
  parameters: Readonly<Record<string, Parameter>>,
  argument: string,
): string | undefined {
  if (`${argument}_stride` in parameters) return `${argument}_stride`;
  return argument === "x" && "stride" in parameters ? "stride" : undefined;
}

/** Checks one tensor argument and binds what it tells. */
function bindTensor(
  bindings: Bindings,
  argument: string,
  tensor: Tensor,
  parameters: Readonly<Record<string, Parameter>>,
): void {
  const parameter = parameters[argument];
  if (parameter?.kind !== "tensor") throw new TypeError(`no tensor argument "${argument}"`);
  const shown = `"${argument}" is ${tensor.dtype}`;
  if (parameter.dtype in parameters) {
    bindings.bind(parameter.dtype, DTYPE_CODES[tensor.dtype], argument, shown);
  } else if (isDType(parameter.dtype) && parameter.dtype !== tensor.dtype) {
    bindings.fail(`${shown}, ${parameter.dtype} was wanted`);
  }
  bindings.bindShape(argument, tensor, parameter.shape);
  const stride = strideScalar(parameters, argument);
  if (stride !== undefined) bindings.bind(stride, rowStrideOf(tensor), argument, shown);
  else if (!isDense(tensor)) bindings.fail(`the rows of "${argument}" do not lie side by side`);
}

/**
 * Runs a kernel.
 *
 * @throws {ShapeError} When tensors do not fit one another or the kernel, before anything is computed.
 * @throws {KernelError} When the kernel refuses its arguments.
 */
export function call(kernel: KernelName, { tensors, scalars = {} }: CallArguments): void {
  const parameters = KERNELS[kernel]!.params;
  const bindings = new Bindings(kernel);
  let backend: Backend | undefined;
  for (const [argument, tensor] of Object.entries(tensors)) {
    if (tensor === undefined) continue;
    backend ??= tensor.backend;
    if (tensor.backend !== backend) bindings.fail(`"${argument}" lies on another backend`);
    bindTensor(bindings, argument, tensor, parameters);
  }
  const args: Record<string, number> = {};
  for (const [name, parameter] of Object.entries(parameters)) {
    if (parameter.kind === "tensor") {
      if (tensors[name] === undefined && !parameter.optional) {
        bindings.fail(`"${name}" is missing`);
      }
      args[name] = tensors[name]?.address ?? 0;
    } else {
      const value = scalars[name] ?? bindings.get(name);
      if (value === undefined) throw new TypeError(`"${kernel}" lacks the scalar "${name}"`);
      args[name] = value;
    }
  }
  (backend!.kernels[kernel] as (args: Readonly<Record<string, number>>) => void)(args);
}

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

/** What a tensor argument says of a name of the table. */
interface Told {
  /** Extent, code or stride. */
  readonly value: number;
  /** The value as a message shows it. */
  readonly text: string;
  /** The argument. */
  readonly from: string;
  /** What the argument is, for a message. */
  readonly shown: string;
}

/** What is known of the names in a call. */
class Bindings {
  readonly #kernel: string;
  readonly #known = new Map<string, Told>();

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
  bind(name: string, told: Told): void {
    const known = this.#known.get(name);
    if (known === undefined) this.#known.set(name, told);
    else if (known.value !== told.value) {
      const { text, from } = known;
      this.fail(`"${told.from}" is ${told.shown}, but ${name} is ${text} in "${from}"`);
    }
  }

  /** Binds the extents of one tensor to the dimension names of the table. */
  bindShape(argument: string, tensor: Tensor, shape: string): void {
    const names = shape.split(" ");
    const shown = shapeText(tensor.shape);
    const refuse = () => this.fail(`"${argument}" is ${shown}, [${names.join(", ")}] was wanted`);
    if (names.length !== tensor.shape.length) refuse();
    names.forEach((name, axis) => {
      const extent = tensor.shape[axis]!;
      if (/^\d+$/.test(name)) {
        if (extent !== Number(name)) refuse();
        return;
      }
      const [base, divisor] = name.split("/");
      const value = extent * Number(divisor ?? 1);
      this.bind(base!, { value, text: String(value), from: argument, shown });
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
  const { dtype } = tensor;
  if (parameter.dtype in parameters) {
    const told = { value: DTYPE_CODES[dtype], text: dtype, from: argument, shown: dtype };
    bindings.bind(parameter.dtype, told);
  } else if (isDType(parameter.dtype) && parameter.dtype !== dtype) {
    bindings.fail(`"${argument}" is ${dtype}, ${parameter.dtype} was wanted`);
  }
  bindings.bindShape(argument, tensor, parameter.shape);
  const stride = strideScalar(parameters, argument);
  if (stride !== undefined) {
    const value = rowStrideOf(tensor);
    const text = String(value);
    bindings.bind(stride, { value, text, from: argument, shown: `strided by ${text}` });
  } else if (!isDense(tensor)) {
    bindings.fail(`the rows of "${argument}" do not lie side by side`);
  }
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

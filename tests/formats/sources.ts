/**
 * Tensors that were read, to be written again.
 *
 * @module
 */

import { tensorBytesOf } from "../../lib/formats/read_tensor.ts";
import type { TensorRecord, TensorSource } from "../../lib/formats/tensor_file.ts";

/** Sources with the names, types, shapes and bytes of records. */
export function sourcesOf(records: Iterable<TensorRecord>): TensorSource[] {
  return [...records].map((record) => ({
    name: record.name,
    dtype: record.dtype,
    shape: record.shape,
    data: tensorBytesOf(record),
  }));
}

import assert from "node:assert/strict";
import { crc32c, EventFile, maskedCrc32c, tfRecord } from "../../lib/train/tensorboard.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

Deno.test("CRC-32C gives the values of RFC 3720, appendix B.4", () => {
  assert.equal(crc32c(bytes("123456789")), 0xe3069283);
  assert.equal(crc32c(new Uint8Array(32)), 0x8a9136aa);
  assert.equal(crc32c(new Uint8Array(32).fill(0xff)), 0x62a8ab43);
  assert.equal(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i)), 0x46dd794e);
});

Deno.test("the mask of a sum can be taken off again", () => {
  const masked = maskedCrc32c(bytes("123456789"));
  const rotated = (masked - 0xa282ead8) >>> 0;
  assert.equal(((rotated >>> 17) | (rotated << 15)) >>> 0, 0xe3069283);
});

/** Reads records as TensorFlow's reader does, sums checked. */
function records(file: Uint8Array): Uint8Array[] {
  const view = new DataView(file.buffer, file.byteOffset);
  const found: Uint8Array[] = [];
  for (let at = 0; at < file.length;) {
    const length = Number(view.getBigUint64(at, true));
    assert.equal(view.getUint32(at + 8, true), maskedCrc32c(file.subarray(at, at + 8)));
    const data = file.subarray(at + 12, at + 12 + length);
    assert.equal(view.getUint32(at + 12 + length, true), maskedCrc32c(data));
    found.push(data);
    at += 16 + length;
  }
  return found;
}

/** Fields of a protobuf message: numbers, doubles, floats, bytes. */
function fields(message: Uint8Array): [field: number, value: number | Uint8Array][] {
  const view = new DataView(message.buffer, message.byteOffset);
  const found: [number, number | Uint8Array][] = [];
  let at = 0;
  const varint = () => {
    let [value, scale] = [0, 1];
    for (;; scale *= 128) {
      const byte = message[at++]!;
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  while (at < message.length) {
    const tag = varint();
    const field = tag >> 3;
    switch (tag & 7) {
      case 0:
        found.push([field, varint()]);
        break;
      case 1:
        found.push([field, view.getFloat64(at, true)]);
        at += 8;
        break;
      case 5:
        found.push([field, view.getFloat32(at, true)]);
        at += 4;
        break;
      default: {
        const length = varint();
        found.push([field, message.subarray(at, at + length)]);
        at += length;
      }
    }
  }
  return found;
}

const text = (value: number | Uint8Array | undefined) =>
  new TextDecoder().decode(value as Uint8Array);

Deno.test("an event file has the version, the start of its session, and scalars by step", () => {
  const folder = Deno.makeTempDirSync();
  try {
    const file = new EventFile(folder, 20);
    file.add({ wallTime: 1234.5, step: 300, scalars: { "train/loss": 2.5, "train/lr": 0.25 } });
    file.close();
    assert.match(file.path, /events\.out\.tfevents\.\d+\./);
    const events = records(Deno.readFileSync(file.path)).map((data) => new Map(fields(data)));
    assert.equal(events.length, 3);
    assert.equal(text(events[0]!.get(3)), "brain.Event:2");
    assert.equal(events[1]!.get(2), 21);
    assert.deepEqual(fields(events[1]!.get(7) as Uint8Array), [[1, 1]]);
    assert.equal(events[2]!.get(1), 1234.5);
    assert.equal(events[2]!.get(2), 300);
    const values = fields(events[2]!.get(5) as Uint8Array).map(([, value]) =>
      new Map(fields(value as Uint8Array))
    );
    assert.deepEqual(values.map((value) => [text(value.get(1)), value.get(2)]), [
      ["train/loss", 2.5],
      ["train/lr", 0.25],
    ]);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});

Deno.test("a record is its length, data, and the sums of both", () => {
  assert.equal(tfRecord(bytes("abc")).length, 19);
  assert.equal(records(tfRecord(bytes("abc"))).length, 1);
});

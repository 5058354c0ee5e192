// The arrays of an album: a JSON header and typed arrays, in one ArrayBuffer.

const ARRAY_TYPES = { u1: Uint8Array, i2: Int16Array, u4: Uint32Array, i4: Int32Array, f4: Float32Array, f8: Float64Array };

/**
 * Read a bundle: u32 length of the header, the header, and the columns, each at its offset after the header.
 * @param {ArrayBuffer} buffer
 * @returns {{header: object, columns: Object<string, ArrayBufferView>}}
 */
function readBundle(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  return { header, columns: readColumns(header, buffer, 4 + length) };
}

/** Read the columns of a header, which begin at a place of a buffer. */
function readColumns(header, buffer, start) {
  const columns = {};
  for (const { name, type, offset, length } of header.columns) columns[name] = new ARRAY_TYPES[type](buffer, start + offset, length);
  return columns;
}

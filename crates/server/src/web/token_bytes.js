// The bytes that tokens stand for, and where among them whole characters end.

const ENCODER = new TextEncoder();

/** The byte of a byte token such as `<0xEC>`, or undefined. */
export function byteOf(token) {
  const found = /^<0x([0-9A-Fa-f]{2})>$/.exec(token);
  return found ? parseInt(found[1], 16) : undefined;
}

/** The bytes that a token puts into the text. */
export function bytesOf(token) {
  const byte = byteOf(token);
  return byte === undefined ? ENCODER.encode(token) : Uint8Array.of(byte);
}

/** The text of some tokens, or undefined where they do not make whole characters. */
export function textOf(tokens) {
  const bytes = tokens.flatMap(token => [...bytesOf(token)]);
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Uint8Array.from(bytes));
  } catch {
    return undefined;
  }
}

/** Bytes in hexadecimal. */
export function hexadecimal(bytes) {
  return [...bytes].map(byte => byte.toString(16).toUpperCase().padStart(2, "0")).join(" ");
}

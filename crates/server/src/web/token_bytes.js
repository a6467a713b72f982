// The bytes that tokens stand for. A token that is no text by itself is written `bytes:\xec`, as the API has it.

const ENCODER = new TextEncoder();
const BYTES = /^bytes:((?:\\x[0-9a-f]{2})+)$/;

/** Whether a token is bytes that are no text by themselves. */
export const isBytes = token => BYTES.test(token);

/** The bytes that a token puts into the text. */
export function bytesOf(token) {
  const found = BYTES.exec(token);
  return found
    ? Uint8Array.from(found[1].slice(2).split("\\x"), byte => parseInt(byte, 16))
    : ENCODER.encode(token);
}

/** Bytes as a token. */
export function tokenOf(bytes) {
  return "bytes:" + [...bytes].map(byte => "\\x" + byte.toString(16).padStart(2, "0")).join("");
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
